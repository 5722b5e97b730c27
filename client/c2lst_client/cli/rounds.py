"""Commands about rounds: what the centre asks for, and what this institution says to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_client.cli.completion import complete_site
from c2lst_client.cli.opening import settings_of
from c2lst_client.cli.options import HomeOption, RoundArgument
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_client.rounds.job_queue import JobQueue
    from c2lst_client.rounds.queue_database import Job

rounds_app = CommandLine(help="What the centre asks this institution to compute.")


@rounds_app.command("list")
def list_rounds(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the rounds that were offered.

    Examples:
        c2lst-client rounds list
        c2lst-client rounds list --json
    """
    jobs = _queue(home).all()
    lines = []
    for job in jobs:
        wanted = f"{job.offer.release_name}, {job.offer.steps} steps" if job.offer else ""
        lines.append(f"{job.round_id}  {_state(job):<28} {wanted}")
    show([_record(job) for job in jobs], lines or ["No round was offered yet."], as_json=as_json)


@rounds_app.command("show")
def show_round(round_id: RoundArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what a round asks for, how far it is, and what is sent of its result.

    What is shown as the result is what leaves, by the policy of this moment, and nothing else does.

    Examples:
        c2lst-client rounds show 3f9c
        c2lst-client rounds show 3f9c --json
    """
    from c2lst_client.rounds.outcome import withhold
    from c2lst_client.rounds.policy import load_policy

    folder = settings_of(home).folders
    job = _queue(home).get(round_id)
    sent = withhold(job.result, load_policy(folder)) if job.result else None
    lines = [f"Round     {job.round_id}, {_state(job)}", f"Slide     {job.slide or 'not chosen'}"]
    for name, value in (job.offer.model_dump(mode="json") if job.offer else {}).items():
        if name not in {"format", "kind", "round_id"} and value is not None:
            lines.append(f"  {name:<10}{value}")
    if job.detail:
        lines.append(f"Error     {job.detail} (stays here; the centre is told {job.error!r})")
    if job.state == "waiting":
        lines.append(f"Next: c2lst-client rounds approve {job.round_id}, or decline")
    if sent is not None:
        kept = folder.round(job.round_id)
        lines += ["Result as it is sent:", sent.model_dump_json(indent=1)]
        lines.append(f"Everything else stays in {kept}" if kept.is_dir() else "Everything else was removed (rounds clean).")
    show(_record(job) | {"sent": sent}, lines, as_json=as_json)


@rounds_app.command("approve")
def approve_round(
    round_id: RoundArgument,
    site: Annotated[
        str | None,
        typer.Option(help="The slide to work on, where there are several of the organ.", autocompletion=complete_site),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a round that waits run here, once.

    Read it first with `rounds show`. Limits of the policy hold all the same.

    Examples:
        c2lst-client rounds approve 3f9c
        c2lst-client rounds approve 3f9c --site rep11
    """
    from c2lst_client.rounds.approval import approve

    job = approve(settings_of(home).folders, round_id, site)
    show(_record(job), [f"Round {job.round_id} is {job.state}; the worker takes it up in its turn."], as_json=as_json)


@rounds_app.command("decline")
def decline_round(round_id: RoundArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Decline a round that waits; the centre is told so, without a reason.

    Examples:
        c2lst-client rounds decline 3f9c
    """
    job = _queue(home).decline(round_id)
    show(_record(job), [f"Round {job.round_id} is {job.state}."], as_json=as_json)


@rounds_app.command("cancel")
def cancel_round(round_id: RoundArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop a round here, also one that runs.

    Examples:
        c2lst-client rounds cancel 3f9c
    """
    queue = _queue(home)
    job = queue.cancel(queue.get(round_id).round_id)
    asked = "asked to stop" if job.state == "running" else job.state
    show(_record(job), [f"Round {job.round_id} is {asked}."], as_json=as_json)


@rounds_app.command("clean")
def clean_finished(
    days: Annotated[int | None, typer.Option(min=0, help="Instead of the policy's keep_rounds_days.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the folders of rounds that are over and old; their results stay. The worker does so by itself.

    Examples:
        c2lst-client rounds clean --dry-run
        c2lst-client rounds clean --days 0
    """
    from c2lst_client.rounds.cleaning import clean_rounds, find_old_rounds
    from c2lst_client.rounds.policy import load_policy

    folder = settings_of(home).folders
    keep = load_policy(folder).keep_rounds_days if days is None else days
    old = find_old_rounds(folder, keep) if dry_run else clean_rounds(folder, keep)
    lines = []
    for each in old:
        age = f"{each.job.state} {each.days:.0f} days ago"
        lines.append(f"{each.job.round_id}  {age:<24} {each.size / 1e6:.1f} MB {'would be removed' if dry_run else 'removed'}")
    none = [f"No folder of a round that has been over for {keep} day{'s' * (keep != 1)} or more."]
    found = [{"round_id": each.job.round_id, "state": each.job.state, "bytes": each.size} for each in old]
    show(found, lines or none, as_json=as_json)


def _queue(home: Path | None) -> JobQueue:
    from c2lst_client.rounds.job_queue import JobQueue

    return JobQueue(settings_of(home).folders.round_queue)


def _state(job: Job) -> str:
    """How a round stands, in words."""
    if job.state == "running" and job.steps:
        left = "" if job.eta is None else f", {job.eta / 60:.0f} min left"
        return f"running {job.stage} {job.step}/{job.steps}{left}"
    why = job.error or job.reason
    return f"{job.state} ({why})" if why else job.state


def _record(job: Job) -> dict[str, object]:
    times = {name: datetime.fromtimestamp(getattr(job, name)).astimezone().isoformat() for name in ("received", "updated")}
    return {
        "round_id": job.round_id,
        "state": job.state,
        "slide": job.slide,
        "stage": job.stage,
        "step": job.step,
        "steps": job.steps,
        "eta_seconds": job.eta,
        "error": job.error,
        "detail": job.detail,
        "reason": job.reason,
        "offer": job.offer.model_dump(mode="json") if job.offer else None,
        **times,
    }
