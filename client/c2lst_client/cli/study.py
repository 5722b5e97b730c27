"""The command that runs the whole evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.options import HomeOption, JsonOption, SiteOption, journey_of

app = typer.Typer()


@app.command()
def study(
    site: SiteOption,
    fraction: Annotated[
        list[float] | None, typer.Option(min=0.01, max=0.9, help="Share of the spots that train; repeat for several.")
    ] = None,
    ratio: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="Synthetic pairs per training spot; repeat for several.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=100, help="Divisions of each kind.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Trainings of each arm.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Passes of the arms that go by epochs, 200 by default; 0 leaves them out.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Encoder that patches are compared with: built-in, or a local path (docs/encoders.md).")
    ] = "built-in",
    hovernet: Annotated[Path | None, typer.Option(help="Local weights of HoVer-Net (PanNuke), to compare cell types.")] = None,
    release: Annotated[str | None, typer.Option(help="For example mob/1; the adapter's, or the newest.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is to be made, then stop.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole evaluation with its controls and say whether synthetic pairs help at this site; resumable.

    The usual design: 5, 10, 25 and 50 % of the spots and ratios 1, 2, 5 and 10, three random divisions of each kind, and three
    by a line on which no held-out patch overlaps a training patch.
    """
    from c2lst_client.options import StudyOptions

    options = StudyOptions(
        release=release,
        fractions=tuple(fraction) if fraction else None,
        ratios=tuple(ratio) if ratio else None,
        repeats=repeats,
        seeds=seeds,
        epochs=epochs,
        encoder=encoder if encoder == "built-in" else Path(encoder),
        hovernet=hovernet,
    )
    with journey_of(home, site) as journey:
        if dry_run:
            plan = journey.plan_study(options)
            typer.echo(plan.model_dump_json(indent=1) if as_json else "\n".join(plan.sentences()))
            return
        result = journey.study(options, lambda line: typer.echo(line, err=True))
        page = journey.study_page
    typer.echo(result.model_dump_json(indent=1) if as_json else "\n".join([*result.verdict, f"Page: {page}"]))
