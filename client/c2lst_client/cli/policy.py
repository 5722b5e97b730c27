"""Commands about the policy: which rounds run here, and what is sent of their results."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from c2lst_client.cli.opening import settings_of
from c2lst_client.cli.options import HomeOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

policy_app = CommandLine(help="Which rounds run here, and what is sent of their results.")
LIMITS, SENT = "What runs", "What leaves"


@policy_app.command("show")
def show_policy(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the policy in force.

    Examples:
        c2lst-client policy show
        c2lst-client policy show --json
    """
    from c2lst_client.rounds.policy import load_policy
    from c2lst_client.rounds.policy_words import policy_words

    policy = load_policy(settings_of(home).folders)
    words = policy_words(policy)
    show(policy, [f"{name:<17}{value}" for name, value in words.items()], as_json=as_json)


@policy_app.command("set")
def set_policy(
    mode: Annotated[
        Literal["auto", "ask", "never"] | None, typer.Option(help="auto, ask or never.", rich_help_panel=LIMITS)
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(help="Most steps of adaptation.", rich_help_panel=LIMITS),
    ] = None,
    max_hours: Annotated[
        float | None, typer.Option(help="Most hours of compute for one round.", rich_help_panel=LIMITS)
    ] = None,
    organs: Annotated[
        str | None, typer.Option(help="With commas; 'all' for every organ that there are spots of.", rich_help_panel=LIMITS)
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="When work may run, like 20:00-06:00; 'always'.", rich_help_panel=LIMITS)
    ] = None,
    withhold: Annotated[
        str | None, typer.Option(help="Metrics that are not sent, with commas; 'nothing'.", rich_help_panel=SENT)
    ] = None,
    min_spots: Annotated[
        int | None, typer.Option(help="Least number of spots that a number sent stands on.", rich_help_panel=SENT)
    ] = None,
    export: Annotated[
        Literal["allow", "never"] | None, typer.Option(help="Of synthetic pairs: allow or never.", rich_help_panel=SENT)
    ] = None,
    keep_rounds_days: Annotated[
        int | None, typer.Option(help="Days for which a round's folder is kept when it is over.", rich_help_panel=LIMITS)
    ] = None,
    fab_sha256: Annotated[
        str | None, typer.Option(help="Digest of the one Flower app that may run; 'installed'.", rich_help_panel=LIMITS)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the policy; what is not given stays as it is.

    Without a policy every round waits for approval, and limits are cautious (docs/federation.md).

    Examples:
        c2lst-client policy set --mode never
        c2lst-client policy set --mode auto --max-hours 8 --organs mob,breast --window 20:00-06:00
        c2lst-client policy set --withhold peak_memory,seconds --min-spots 20
        c2lst-client policy set --export never
    """
    from c2lst_client.rounds.policy import change_policy

    changes: dict[str, object] = {
        "mode": mode,
        "max_steps": max_steps,
        "max_hours": max_hours,
        "min_spots": min_spots,
        "export": export,
        "keep_rounds_days": keep_rounds_days,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if organs is not None:
        changes["organs"] = None if organs == "all" else _words(organs)
    if window is not None:
        changes["window"] = None if window == "always" else window
    if withhold is not None:
        changes["withhold"] = () if withhold == "nothing" else _words(withhold)
    if fab_sha256 is not None:
        changes["fab_sha256"] = None if fab_sha256 == "installed" else fab_sha256
    change_policy(settings_of(home).folders, changes)
    show_policy(home, as_json)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
