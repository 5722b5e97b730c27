"""The command that runs the whole evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.completion import complete_release
from c2lst_client.cli.opening import journey_of
from c2lst_client.cli.options import HomeOption, SiteOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

app = CommandLine(panel="Steps at a site, in their order")
DESIGN, JUDGES = "Design", "Judges"


@app.command()
def study(
    site: SiteOption,
    fraction: Annotated[
        list[float] | None,
        typer.Option(min=0.01, max=0.9, help="Share of the spots that train; repeat for several.", rich_help_panel=DESIGN),
    ] = None,
    ratio: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="Synthetic pairs per training spot; repeat.", rich_help_panel=DESIGN),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=100, help="Divisions of each kind.", rich_help_panel=DESIGN)] = None,
    main_repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Random divisions that the verdict rests on: 8, or as many as --repeats where that is given; never fewer.",
            rich_help_panel=DESIGN,
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Trainings of each arm.", rich_help_panel=DESIGN)] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, help="Passes of the arms that go by epochs, 200 by default; 0 leaves them out.", rich_help_panel=DESIGN
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Encoder that patches are compared with: built-in, or a local path (docs/encoders.md).", rich_help_panel=JUDGES
        ),
    ] = "built-in",
    hovernet: Annotated[
        Path | None, typer.Option(help="Local weights of HoVer-Net (PanNuke), to compare cell types.", rich_help_panel=JUDGES)
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="For example mob/1; the adapter's, or the newest.", autocompletion=complete_release)
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Divisions made side by side, of a gigabyte or two of memory each; they share the cores."
        ),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is to be made, then stop.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole evaluation with its controls and say whether synthetic pairs help at this site; resumable.

    The usual design: 5, 10, 25 and 50 % of the spots and ratios 1, 2, 5 and 10, three random divisions of each kind, and three
    by a line on which no held-out patch overlaps a training patch; at 25 %, on which the verdict rests, eight random ones. It
    takes hours: count first with --dry-run. It may be stopped at any time, and a larger design keeps what it shares with a
    smaller one. A machine with many cores, or a card that one division leaves idle, is done sooner with several --jobs.

    Examples:
        c2lst-client study --site rep11 --dry-run
        c2lst-client study --site rep11
        c2lst-client study --site rep11 --fraction 0.25 --repeats 1 --epochs 0
        c2lst-client study --site rep11 --jobs 8
        c2lst-client study --site rep11 --encoder uni/ --json
    """
    from c2lst_client.options import StudyOptions

    options = StudyOptions(
        release=release,
        fractions=tuple(fraction) if fraction else None,
        ratios=tuple(ratio) if ratio else None,
        repeats=repeats,
        main_repeats=main_repeats,
        seeds=seeds,
        epochs=epochs,
        encoder=encoder if encoder == "built-in" else Path(encoder),
        hovernet=hovernet,
        jobs=jobs,
    )
    with journey_of(home, site) as journey:
        if dry_run:
            plan = journey.plan_study(options)
            show(plan, plan.sentences(), as_json=as_json)
            return
        result = journey.study(options, lambda line: typer.echo(line, err=True))
        page = journey.study_page
    show(result, [*result.verdict, f"Page: {page}"], as_json=as_json)
