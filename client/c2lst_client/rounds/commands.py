"""Commands about rounds: what the centre asked for, what this institution agrees to, and what has left it.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst_shared.logs import LogFormat

if TYPE_CHECKING:
    from c2lst_client.rounds.job_queue import JobQueue
    from c2lst_client.rounds.queue_database import Job
    from c2lst_client.settings import Settings

rounds_app = typer.Typer(no_args_is_help=True, help="What the centre asks this institution to compute.")
policy_app = typer.Typer(no_args_is_help=True, help="Which rounds run here, and what is sent of their results.")
audit_app = typer.Typer(no_args_is_help=True, help="What has left this institution.")

HomeOption = Annotated[Path | None, typer.Option("--home", help="State folder (C2LST_HOME); ~/.local/share/c2lst by default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogFormatOption = Annotated[LogFormat, typer.Option(help="Of the lines that are logged: text or json.")]
MetricsPortOption = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at this port of loopback; not at all without it.")
]
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

    folder = _settings(home).folders
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

    job = approve(_settings(home).folders, round_id, site)
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

    folder = _settings(home).folders
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


@policy_app.command("show")
def show_policy(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the policy in force."""
    from c2lst_client.rounds.policy import load_policy

    policy = load_policy(_settings(home).folders)
    if as_json:
        typer.echo(policy.model_dump_json(indent=1))
        return
    words = {
        "mode": {"auto": "rounds within the limits run", "ask": "every round waits for approval", "never": "no round runs"}[
            policy.mode
        ],
        "max_steps": str(policy.max_steps),
        "max_hours": f"{policy.max_hours:g}",
        "organs": ", ".join(policy.organs) if policy.organs is not None else "all that there are spots of",
        "window": policy.window or "always",
        "withhold": ", ".join(policy.withhold) or "nothing",
        "min_spots": str(policy.min_spots),
        "export": {"allow": "synthetic pairs may leave by the rule of privacy", "never": "no synthetic pair leaves"}[
            policy.export
        ],
        "keep_rounds_days": str(policy.keep_rounds_days),
        "fab_sha256": policy.fab_sha256 or "that of the installed package",
    }
    for name, value in words.items():
        typer.echo(f"{name:<17}{value}")


@policy_app.command("set")
def set_policy(
    mode: Annotated[Literal["auto", "ask", "never"] | None, typer.Option(help="auto, ask or never.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Most steps of adaptation.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Most hours of compute for one round.")] = None,
    organs: Annotated[str | None, typer.Option(help="With commas; 'all' for every organ that there are spots of.")] = None,
    window: Annotated[str | None, typer.Option(help="When work may run, like 20:00-06:00; 'always'.")] = None,
    withhold: Annotated[str | None, typer.Option(help="Metrics that are not sent, with commas; 'nothing'.")] = None,
    min_spots: Annotated[int | None, typer.Option(help="Least number of spots that a number sent stands on.")] = None,
    export: Annotated[Literal["allow", "never"] | None, typer.Option(help="Of synthetic pairs: allow or never.")] = None,
    keep_rounds_days: Annotated[
        int | None, typer.Option(help="Days for which a round's folder is kept when it is over.")
    ] = None,
    fab_sha256: Annotated[str | None, typer.Option(help="Digest of the one Flower app that may run; 'installed'.")] = None,
    home: HomeOption = None,
) -> None:
    """Change the policy; what is not given stays as it is."""
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
    change_policy(_settings(home).folders, changes)
    show_policy(home)


@audit_app.command("show")
def show_audit(
    last: Annotated[int | None, typer.Option(min=1, help="Only so many lines, the newest.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what left: time, destination, kind of message, bytes and content."""
    from c2lst_client.audit import read_entries

    entries = read_entries(_settings(home).folders.audit_log)
    for entry in entries[-last:] if last else entries:
        if as_json:
            typer.echo(entry.model_dump_json(exclude_none=True))
            continue
        content = "" if entry.content is None else json.dumps(entry.content, separators=(",", ":"))
        typer.echo(
            f"{entry.time:%Y-%m-%d %H:%M:%S}  {entry.method:<8} {entry.path}  {entry.message or '-'}  "
            f"{entry.bytes_out} bytes out, {entry.bytes_in} in  {content}".rstrip()
        )


@audit_app.command("verify")
def verify_audit(home: HomeOption = None) -> None:
    """Check that no line of the audit log was edited, removed or reordered. Exit code 3 when one was."""
    from c2lst_client.audit import AuditLog, verify_chain

    path = _settings(home).folders.audit_log
    lines = verify_chain(path)
    typer.echo(f"{path}: {lines} lines, none changed. Newest digest, to be kept elsewhere: {AuditLog(path).head}")


def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to be done now.")] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    metrics_port: MetricsPortOption = None,
    home: HomeOption = None,
) -> None:
    """Work on approved rounds until stopped; `join` does so besides keeping the link."""
    from c2lst_client.metrics import serving_site_metrics
    from c2lst_client.rounds.worker import job_command, supervise
    from c2lst_shared.logs import write_logs
    from c2lst_shared.metrics_listener import MetricsPlace
    from c2lst_shared.stopping import stop_on_signal

    write_logs(log_format, plain_errors=True)
    settings = _settings(home)
    place = None if metrics_port is None else MetricsPlace(metrics_port)
    with serving_site_metrics(place, settings.folders), stop_on_signal() as stop:
        taken = supervise(settings, stop, once=once, command=job_command(log_format))
    typer.echo(f"Took up {taken} round{'s' * (taken != 1)}.")


def _settings(home: Path | None) -> Settings:
    from c2lst_client.settings import Settings

    return Settings() if home is None else Settings(home=home)


def _queue(home: Path | None) -> JobQueue:
    from c2lst_client.rounds.job_queue import JobQueue

    return JobQueue(_settings(home).folders.round_queue)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


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
