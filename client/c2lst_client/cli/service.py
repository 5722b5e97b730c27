"""Commands about this institution's own service: take part in rounds, and see how it is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from c2lst_client.cli.options import HomeOption, JsonOption, LogFormatOption, MetricsPortOption, home_of, settings_of
from c2lst_shared.logs import LogFormat

app = typer.Typer()


@app.command()
def join(
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing: say whether it runs and the centre sees it. Exit code 1 when not.")
    ] = False,
    grace: Annotated[
        float, typer.Option(min=0, max=600, help="With --check: seconds after a start in which the link may be missing.")
    ] = 120,
    log_format: LogFormatOption = LogFormat.TEXT,
    metrics_port: MetricsPortOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take part in rounds until stopped: link to the centre, answer by the site's policy, work that was approved."""
    if check:
        from c2lst_client.federation.health_check import check_join

        found = check_join(settings_of(home), grace=grace)
        unwell = found.state == "unwell"
        typer.echo(found.model_dump_json(indent=1) if as_json else found.found, err=unwell and not as_json)
        raise typer.Exit(int(unwell))
    from c2lst_client.federation.join import join as take_part
    from c2lst_shared.flower.supervisor import Event
    from c2lst_shared.logs import write_logs
    from c2lst_shared.metrics_listener import MetricsPlace
    from c2lst_shared.stopping import stop_on_signal

    def report(event: Event) -> None:
        typer.echo(
            event.model_dump_json(exclude_none=True)
            if as_json or log_format == "json"
            else f"{event.time:%H:%M:%S}  {event.sentence()}"
        )

    write_logs(log_format, plain_errors=True)
    metrics = None if metrics_port is None else MetricsPlace(metrics_port)
    with stop_on_signal() as stop:
        take_part(settings_of(home), report, stop, log_format=log_format, metrics=metrics)


@app.command()
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
    settings = settings_of(home)
    place = None if metrics_port is None else MetricsPlace(metrics_port)
    with serving_site_metrics(place, settings.folders), stop_on_signal() as stop:
        taken = supervise(settings, stop, once=once, command=job_command(log_format))
    typer.echo(f"Took up {taken} round{'s' * (taken != 1)}.")


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the enrolment, the releases that are here, how far each site is, and rounds that wait for approval."""
    from c2lst_client.status import read_status

    state = read_status(home_of(home))
    if as_json:
        typer.echo(state.model_dump_json(indent=1))
        return
    typer.echo(f"Home      {state.home}")
    typer.echo(f"Enrolled  {f'as {state.enrolled_as} at {state.server}' if state.enrolled_as else 'not yet'}")
    typer.echo(f"Releases  {', '.join(state.releases) or 'none yet'}")
    for name, withdrawal in state.withdrawn.items():
        typer.echo(f"  {name} was {withdrawal}; it is set aside.")
    for site in state.sites:
        typer.echo(f"Site {site.name} ({site.organ}): {', '.join(site.done) or 'nothing made yet'}")
        if site.next:
            typer.echo(f"  next: c2lst-client {site.next} --site {site.name}")
    typer.echo(f"Join      {state.join}")
    for round_id in state.rounds_waiting:
        typer.echo(f"Round {round_id} waits for approval: c2lst-client rounds show {round_id}")


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing of the server.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at clock, disk, network, server, trust and hardware, and say what to do about each fault. Exit code 1 on a fault."""
    from c2lst_client.doctor import examine

    findings = examine(settings_of(home), offline=offline)
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:<8} {finding.subject:<18} {finding.found}")
            if finding.to_do:
                typer.echo(f"{'':<27} -> {finding.to_do}")
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)
