"""Commands about this institution's own service: take part in rounds, and see how it is."""

from __future__ import annotations

from typing import Annotated

import typer

from c2lst_client.cli.opening import home_of, settings_of
from c2lst_client.cli.options import HomeOption, LogFormatOption, MetricsPortOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.logs import LogFormat

rounds_app = CommandLine(panel="Rounds")
app = CommandLine(panel="This installation")


@rounds_app.command()
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
    """Take part in rounds until stopped: link to the centre, answer by the site's policy, work that was approved.

    Connections go out only, to the enrolled centre. Let the service manager of the machine start it; --check is for its health
    checks. What was under way when it ends goes on at the next start.

    Examples:
        c2lst-client join
        c2lst-client join --log-format json --metrics-port 9465
        c2lst-client join --check
    """
    if check:
        from c2lst_client.federation.health_check import check_join

        found = check_join(settings_of(home), grace=grace)
        unwell = found.state == "unwell"
        if as_json or not unwell:
            show(found, [found.found], as_json=as_json)
        else:
            typer.echo(found.found, err=True)
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


@rounds_app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to be done now.")] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    metrics_port: MetricsPortOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work on approved rounds until stopped; `join` does so besides keeping the link.

    Examples:
        c2lst-client worker
        c2lst-client worker --once
    """
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
    show({"rounds": taken}, [f"Took up {taken} round{'s' * (taken != 1)}."], as_json=as_json)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the enrolment, the releases that are here, how far each site is, and rounds that wait for approval.

    Each site's line is followed by the command that comes next.

    Examples:
        c2lst-client status
        c2lst-client status --json
    """
    from c2lst_client.status import read_status

    state = read_status(home_of(home))
    lines = [
        f"Home      {state.home}",
        f"Enrolled  {f'as {state.enrolled_as} at {state.server}' if state.enrolled_as else 'not yet'}",
        f"Releases  {', '.join(state.releases) or 'none yet'}",
        *(f"  {name} was {withdrawal}; it is set aside." for name, withdrawal in state.withdrawn.items()),
    ]
    for site in state.sites:
        lines.append(f"Site {site.name} ({site.organ}): {', '.join(site.done) or 'nothing made yet'}")
        if site.next:
            lines.append(f"  next: c2lst-client {site.next} --site {site.name}")
    lines.append(f"Join      {state.join}")
    lines += [f"Round {each} waits for approval: c2lst-client rounds show {each}" for each in state.rounds_waiting]
    show(state, lines, as_json=as_json)


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing of the server.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at clock, disk, network, server, trust and hardware, and say what to do about each fault.

    Ends with exit code 1 when there is a fault. The first thing to run when something does not work, and to send along when you
    ask for help: it shows no data and no secret.

    Examples:
        c2lst-client doctor
        c2lst-client doctor --offline
        c2lst-client doctor --json
    """
    from c2lst_client.doctor import examine

    findings = examine(settings_of(home), offline=offline)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<8} {finding.subject:<18} {finding.found}")
        if finding.to_do:
            lines.append(f"{'':<27} -> {finding.to_do}")
    show(findings, lines, as_json=as_json)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)
