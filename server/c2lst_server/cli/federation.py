"""Commands about the federation: SuperLink, and the proxy in front of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, LogFormatOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.errors import C2lstError
from c2lst_shared.logs import LogFormat, write_logs

app = CommandLine(panel="The service")


@app.command()
def superlink(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The proxy leads sites there.")] = 9092,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than loopback only where nobody but the proxy is.")
    ] = "127.0.0.1",
    certificate_copy: Annotated[
        Path | None, typer.Option(help="Write SuperLink's certificate here too, for a proxy in another container.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing: say whether it runs and answers. Exit code 1 when not.")
    ] = False,
    grace: Annotated[
        float, typer.Option(min=0, max=600, help="With --check: seconds after a start in which it need not answer.")
    ] = 60,
    log_format: LogFormatOption = LogFormat.TEXT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run Flower's SuperLink and the rounds, until stopped; sites reach it through the proxy (proxy-config).

    Listens on loopback, and shows everybody there all of Flower's interfaces: never open its port to a network.

    Examples:
        c2lst-server superlink
        c2lst-server superlink --log-format json
        c2lst-server superlink --check
    """
    if check:
        _check(home, grace, as_json)
        return
    from c2lst_server.db.session import wait_for_database
    from c2lst_server.federation.superlink import run_superlink
    from c2lst_shared.flower.supervisor import Event
    from c2lst_shared.stopping import stop_on_signal

    def report(event: Event) -> None:
        typer.echo(
            event.model_dump_json(exclude_none=True)
            if as_json or log_format == "json"
            else f"{event.time:%H:%M:%S}  {event.sentence()}"
        )

    write_logs(log_format)
    settings = settings_of(home)
    with stop_on_signal() as stop:
        wait_for_database(settings, stop)
        run_superlink(settings, port, report, stop, host=host, certificate_copy=certificate_copy, log_format=log_format)


@app.command("proxy-config")
def proxy_config(
    out: Annotated[Path, typer.Option(help="File to write.")],
    server_name: Annotated[str, typer.Option(help="Host name that sites use, for example central.example.org.")],
    tls_cert: Annotated[Path, typer.Option(help="Certificate with its chain, PEM.")],
    tls_key: Annotated[Path, typer.Option(help="Its private key, PEM.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Public port.")] = 443,
    api: Annotated[str, typer.Option(help="host:port of `c2lst-server serve`.")] = "127.0.0.1:8000",
    superlink_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of `c2lst-server superlink`.")] = 9092,
    whole: Annotated[bool, typer.Option("--whole", help="A complete nginx.conf, not a part of one for conf.d.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the nginx configuration of the one public port: the API, and of SuperLink what sites need.

    Examples:
        c2lst-server proxy-config --out c2lst.conf --server-name central.example.org --tls-cert cert.pem --tls-key key.pem
        c2lst-server proxy-config --out nginx.conf --server-name localhost --tls-cert cert.pem --tls-key key.pem --whole
    """
    from c2lst_server.federation.link import Link
    from c2lst_server.federation.nginx import Proxy, write_configuration

    link = Link(settings_of(home).folders.superlink, superlink_port)
    link.renew_certificate()  # nginx does not start without it
    proxy = Proxy(server_name, port, tls_cert.resolve(), tls_key.resolve(), api, link.address, link.certificate)
    write_configuration(out, proxy, whole=whole)
    following = f"nginx -c {out.resolve()}" if whole else "put it into conf.d and reload nginx"
    show({"out": out, "server_name": server_name, "port": port}, [f"Wrote {out}. Next: {following}"], as_json=as_json)


def _check(home: Path | None, grace: float, as_json: bool) -> None:
    from c2lst_server.federation.health_check import check_superlink

    settings = settings_of(home)
    try:
        with session_of(settings) as session:
            found = check_superlink(settings.folders, session, grace=grace)
    except C2lstError as error:  # any other exit code than 0 and 1 is not for health checks
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json or found.well:
        show(found, [found.found], as_json=as_json)
    else:
        typer.echo(found.found, err=True)
    if not found.well:
        raise typer.Exit(1)
