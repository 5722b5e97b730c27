"""Commands about rounds: what sites are asked to compute, and what came of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst_server.cli.options import HomeOption, JsonOption, print_table, session_of, settings_of

if TYPE_CHECKING:
    from c2lst_server.rounds.store import RoundView

rounds_app = typer.Typer(no_args_is_help=True, help="What sites are asked to compute, and what came of it.")

RoundArgument = Annotated[str, typer.Argument(metavar="ROUND", help="Its identifier, or an unambiguous beginning of it.")]
WATCH_SECONDS = 2.0


@rounds_app.command("start")
def start_round(
    organ: Annotated[str, typer.Option(help="Whose release the sites adapt, for example mob.")],
    sites: Annotated[str, typer.Option(help="Names of the sites that are asked, with commas; nobody else is.")],
    release: Annotated[int | None, typer.Option(min=1, help="Number of the release; the newest by default.")] = None,
    fraction: Annotated[float, typer.Option(min=0.01, max=0.99, help="Of each site's spots that train.")] = 0.25,
    split: Annotated[Literal["random", "blocked"], typer.Option(help="How training spots are chosen.")] = "random",
    genes: Annotated[int | None, typer.Option(min=1, help="Genes in the panel; the release suggests a number.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; the release suggests a number.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random choices.")] = 0,
    evaluate: Annotated[bool, typer.Option(help="Measure whether morphology follows expression.")] = True,
    cotrain: Annotated[bool, typer.Option(help="Measure whether synthetic pairs help a predictor.")] = True,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Repeats of each arm of co-training.")] = None,
    ratio: Annotated[list[int] | None, typer.Option(min=1, max=1000, help="Synthetic pairs per spot; repeat.")] = None,
    hours: Annotated[float, typer.Option(help="Most hours of compute at each site.")] = 24,
    deadline_hours: Annotated[float, typer.Option(help="Hours from now after which nothing more is waited for.")] = 72,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the offer; offer nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer work to the named sites; each decides by its own policy whether it takes part."""
    from c2lst_server.rounds import store

    wanted = store.RoundPlan(
        organ=organ,
        sites=tuple(name.strip() for name in sites.split(",") if name.strip()),
        release=release,
        fraction=fraction,
        split=split,
        seed=seed,
        genes=genes,
        steps=steps,
        evaluate=evaluate,
        cotrain=cotrain,
        seeds=seeds,
        ratios=tuple(ratio) if ratio else None,
        hours=hours,
        deadline_hours=deadline_hours,
    )
    settings = settings_of(home)
    with session_of(settings) as session:
        if dry_run:
            offer = store.plan(session, settings.folders, wanted)
            typer.echo(offer.model_dump_json(indent=1))
            if not as_json:
                typer.echo(f"Would be offered to {', '.join(sorted(wanted.sites))}; nothing was.", err=True)
            return
        started = store.start(session, settings.folders, wanted)
    if as_json:
        typer.echo(started.model_dump_json(indent=1))
        return
    typer.echo(f"Round {started.round_id} is offered to {', '.join(site.site for site in started.sites)}.")
    typer.echo(f"Next: c2lst-server rounds show {started.round_id} --watch (while `c2lst-server superlink` runs)")


@rounds_app.command("list")
def list_rounds(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all rounds, the newest first."""
    from c2lst_server.rounds import store

    with session_of(settings_of(home)) as session:
        found = store.list_rounds(session)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=1))
        return
    rows = [(each.round_id, each.offer.release_name, f"{each.started:%Y-%m-%d %H:%M}", each.in_words()) for each in found]
    print_table(("ROUND", "RELEASE", "STARTED", "STATE"), rows, empty="No round yet.")


@rounds_app.command("show")
def show_round(
    round_id: RoundArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a round stands at each site, and the results that came."""
    from c2lst_server.rounds import store
    from c2lst_server.rounds.words import result_lines

    with session_of(settings_of(home)) as session:
        found = store.show(session, round_id)
        said: str | None = None
        while watch and found.closed is None:
            now = found.model_dump_json() if as_json else _states(found)
            if now != said:
                typer.echo(now + ("" if as_json else "\n"))
                said = now
            time.sleep(WATCH_SECONDS)
            session.expire_all()
            session.rollback()
            found = store.show(session, found.round_id)
    if as_json:
        typer.echo(found.model_dump_json(indent=None if watch else 1))
        return
    typer.echo(_states(found))
    for site in found.sites:
        if site.result is not None:
            typer.echo("")
            typer.echo("\n".join(result_lines(site.site, site.result)))


@rounds_app.command("cancel")
def cancel_round(round_id: RoundArgument, home: HomeOption = None) -> None:
    """Give a round up; sites that work on it stop, those that are away are told when they are back."""
    from c2lst_server.rounds import store

    with session_of(settings_of(home)) as session:
        found = store.cancel(session, round_id)
    typer.echo(f"Round {found.round_id} is being cancelled.")


def _states(found: RoundView) -> str:
    until = f"deadline {found.deadline:%Y-%m-%d %H:%M} UTC"
    lines = [f"Round {found.round_id} on {found.offer.release_name}: {found.in_words()}; {until}"]
    width = max(len(site.site) for site in found.sites)
    return "\n".join([*lines, *(f"  {site.site:<{width}}  {site.in_words()}" for site in found.sites)])
