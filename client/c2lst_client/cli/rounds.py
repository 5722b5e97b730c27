"""Commands about rounds: what the centre asks for, and what this institution says to it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_client.cli.options import HomeOption, JsonOption, settings_of

if TYPE_CHECKING:
    from c2lst_client.rounds.job_queue import JobQueue
    from c2lst_client.rounds.queue_database import Job

rounds_app = typer.Typer(no_args_is_help=True, help="What the centre asks this institution to compute.")

RoundArgument = Annotated[str, typer.Argument(metavar="ROUND", help="Its identifier, or an unambiguous beginning of it.")]


@rounds_app.command("list")
def list_rounds(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the rounds that were offered."""
    jobs = _queue(home).all()
    if as_json:
        typer.echo(json.dumps([_as_json(job) for job in jobs], indent=1))
        return
    for job in jobs:
        wanted = f"{job.offer.release_name}, {job.offer.steps} steps" if job.offer else ""
        typer.echo(f"{job.round_id}  {_state(job):<28} {wanted}")
    if not jobs:
        typer.echo("No round was offered yet.")


@rounds_app.command("show")
def show_round(round_id: RoundArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what a round asks for, how far it is, and what is sent of its result."""
    from c2lst_client.rounds.outcome import withhold
    from c2lst_client.rounds.policy import load_policy

    folder = settings_of(home).folders
    job = _queue(home).get(round_id)
    sent = withhold(job.result, load_policy(folder)) if job.result else None
    if as_json:
        typer.echo(json.dumps(_as_json(job) | {"sent": sent.model_dump(mode="json") if sent else None}, indent=1))
        return
    typer.echo(f"Round     {job.round_id}, {_state(job)}")
    typer.echo(f"Slide     {job.slide or 'not chosen'}")
    for name, value in (job.offer.model_dump(mode="json") if job.offer else {}).items():
        if name not in {"format", "kind", "round_id"} and value is not None:
            typer.echo(f"  {name:<10}{value}")
    if job.detail:
        typer.echo(f"Error     {job.detail} (stays here; the centre is told {job.error!r})")
    if job.state == "waiting":
        typer.echo(f"Next: c2lst-client rounds approve {job.round_id}, or decline")
    if sent is not None:
        typer.echo("Result as it is sent:")
        typer.echo(sent.model_dump_json(indent=1))
        kept = folder.round(job.round_id)
        typer.echo(f"Everything else stays in {kept}" if kept.is_dir() else "Everything else was removed (rounds clean).")


@rounds_app.command("approve")
def approve_round(
    round_id: RoundArgument,
    site: Annotated[str | None, typer.Option(help="The slide to work on, where there are several of the organ.")] = None,
    home: HomeOption = None,
) -> None:
    """Let a round that waits run here, once."""
    from c2lst_client.rounds.approval import approve

    job = approve(settings_of(home).folders, round_id, site)
    typer.echo(f"Round {job.round_id} is {job.state}; the worker takes it up in its turn.")


@rounds_app.command("decline")
def decline_round(round_id: RoundArgument, home: HomeOption = None) -> None:
    """Decline a round that waits; the centre is told so, without a reason."""
    job = _queue(home).decline(round_id)
    typer.echo(f"Round {job.round_id} is {job.state}.")


@rounds_app.command("cancel")
def cancel_round(round_id: RoundArgument, home: HomeOption = None) -> None:
    """Stop a round here, also one that runs."""
    queue = _queue(home)
    job = queue.cancel(queue.get(round_id).round_id)
    typer.echo(f"Round {job.round_id} is {'asked to stop' if job.state == 'running' else job.state}.")


@rounds_app.command("clean")
def clean_finished(
    days: Annotated[int | None, typer.Option(min=0, help="Instead of the policy's keep_rounds_days.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove the folders of rounds that are over and old; their results stay. The worker does so by itself."""
    from c2lst_client.rounds.cleaning import clean_rounds, find_old_rounds
    from c2lst_client.rounds.policy import load_policy

    folder = settings_of(home).folders
    keep = load_policy(folder).keep_rounds_days if days is None else days
    old = find_old_rounds(folder, keep) if dry_run else clean_rounds(folder, keep)
    if as_json:
        found = [{"round_id": each.job.round_id, "state": each.job.state, "bytes": each.size} for each in old]
        typer.echo(json.dumps(found, indent=1))
        return
    for each in old:
        age = f"{each.job.state} {each.days:.0f} days ago"
        typer.echo(f"{each.job.round_id}  {age:<24} {each.size / 1e6:.1f} MB {'would be removed' if dry_run else 'removed'}")
    if not old:
        typer.echo(f"No folder of a round that has been over for {keep} day{'s' * (keep != 1)} or more.")


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


def _as_json(job: Job) -> dict[str, object]:
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
