"""Commands about rounds: what sites are asked to compute, and what came of it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst_server.cli.completion import complete_organ, complete_round, complete_site
from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, table
from c2lst_server.cli.watching import follow
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_server.rounds.store import RoundView

rounds_app = CommandLine(help="What sites are asked to compute, and what came of it.")

RoundArgument = Annotated[
    str,
    typer.Argument(metavar="ROUND", help="Its identifier, or an unambiguous beginning of it.", autocompletion=complete_round),
]
WORK, MEASURED, LIMITS = "The work", "What is measured", "Limits"


@rounds_app.command("start")
def start_round(
    organ: Annotated[str, typer.Option(help="Whose release the sites adapt, for example mob.", autocompletion=complete_organ)],
    sites: Annotated[
        str,
        typer.Option(help="Names of the sites that are asked, with commas; nobody else is.", autocompletion=complete_site),
    ],
    release: Annotated[int | None, typer.Option(min=1, help="Number of the release; the newest by default.")] = None,
    fraction: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Of each site's spots that train.", rich_help_panel=WORK)
    ] = 0.25,
    split: Annotated[
        Literal["random", "blocked"], typer.Option(help="How training spots are chosen.", rich_help_panel=WORK)
    ] = "random",
    genes: Annotated[
        int | None, typer.Option(min=1, help="Genes in the panel; the release suggests a number.", rich_help_panel=WORK)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps; the release suggests a number.", rich_help_panel=WORK)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random choices.", rich_help_panel=WORK)] = 0,
    evaluate: Annotated[
        bool, typer.Option(help="Measure whether morphology follows expression.", rich_help_panel=MEASURED)
    ] = True,
    cotrain: Annotated[
        bool, typer.Option(help="Measure whether synthetic pairs help a predictor.", rich_help_panel=MEASURED)
    ] = True,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=100, help="Repeats of each arm of co-training.", rich_help_panel=MEASURED)
    ] = None,
    ratio: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="Synthetic pairs per spot; repeat.", rich_help_panel=MEASURED),
    ] = None,
    hours: Annotated[float, typer.Option(help="Most hours of compute at each site.", rich_help_panel=LIMITS)] = 24,
    deadline_hours: Annotated[
        float, typer.Option(help="Hours from now after which nothing more is waited for.", rich_help_panel=LIMITS)
    ] = 72,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the offer; offer nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer work to the named sites; each decides by its own policy whether it takes part.

    What can come back is a closed list of numbers (docs/federation.md). Offers travel while `c2lst-server superlink` runs.

    Examples:
        c2lst-server rounds start --organ mob --sites hospital-a,hospital-b --dry-run
        c2lst-server rounds start --organ mob --sites hospital-a,hospital-b --fraction 0.25 --hours 8
        c2lst-server rounds start --organ breast --sites hospital-a --release 3 --no-cotrain --json
    """
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
            show(offer, [], as_json=True)
            if not as_json:
                typer.echo(f"Would be offered to {', '.join(sorted(wanted.sites))}; nothing was.", err=True)
            return
        started = store.start(session, settings.folders, wanted)
    lines = [
        f"Round {started.round_id} is offered to {', '.join(site.site for site in started.sites)}.",
        f"Next: c2lst-server rounds show {started.round_id} --watch (while `c2lst-server superlink` runs)",
    ]
    show(started, lines, as_json=as_json)


@rounds_app.command("list")
def list_rounds(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all rounds, the newest first.

    Examples:
        c2lst-server rounds list
        c2lst-server rounds list --json
    """
    from c2lst_server.rounds import store

    with session_of(settings_of(home)) as session:
        found = store.list_rounds(session)
    rows = [(each.round_id, each.offer.release_name, f"{each.started:%Y-%m-%d %H:%M}", each.in_words()) for each in found]
    show(found, table(("ROUND", "RELEASE", "STARTED", "STATE"), rows, empty="No round yet."), as_json=as_json)


@rounds_app.command("show")
def show_round(
    round_id: RoundArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a round stands at each site, and the results that came.

    With --watch --json one line of JSON whenever something changed.

    Examples:
        c2lst-server rounds show 3f9c
        c2lst-server rounds show 3f9c --watch
        c2lst-server rounds show 3f9c --json
    """
    from c2lst_server.rounds import store
    from c2lst_server.rounds.words import result_lines

    with session_of(settings_of(home)) as session:
        found = store.show(session, round_id)
        if watch:
            whole = found.round_id  # a beginning of it may name two rounds by and by
            found = follow(
                session,
                lambda: store.show(session, whole),
                over=lambda now: now.closed is not None,
                line=lambda now: now.model_dump_json() if as_json else _states(now) + "\n",
            )
    if as_json and watch:
        typer.echo(found.model_dump_json())
        return
    results = (["", *result_lines(site.site, site.result)] for site in found.sites if site.result is not None)
    show(found, [_states(found), *chain.from_iterable(results)], as_json=as_json)


@rounds_app.command("cancel")
def cancel_round(round_id: RoundArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Give a round up; sites that work on it stop, those that are away are told when they are back.

    Examples:
        c2lst-server rounds cancel 3f9c
    """
    from c2lst_server.rounds import store

    with session_of(settings_of(home)) as session:
        found = store.cancel(session, round_id)
    show(found, [f"Round {found.round_id} is being cancelled."], as_json=as_json)


def _states(found: RoundView) -> str:
    until = f"deadline {found.deadline:%Y-%m-%d %H:%M} UTC"
    lines = [f"Round {found.round_id} on {found.offer.release_name}: {found.in_words()}; {until}"]
    width = max(len(site.site) for site in found.sites)
    return "\n".join([*lines, *(f"  {site.site:<{width}}  {site.in_words()}" for site in found.sites)])
