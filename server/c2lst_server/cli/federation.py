"""Commands about the federation: SuperLink, and the proxy in front of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.options import HomeOption, JsonOption, LogFormatOption, settings_of
from c2lst_shared.logs import LogFormat, write_logs

app = typer.Typer()


@app.command()
def superlink(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of loopback; the proxy leads sites there.")] = 9092,
    log_format: LogFormatOption = LogFormat.TEXT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run Flower's SuperLink and the rounds, until stopped; sites reach it through the proxy (proxy-config)."""
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
    with stop_on_signal() as stop:
        run_superlink(settings_of(home), port, report, stop, log_format=log_format)


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
) -> None:
    """Write the nginx configuration of the one public port: the API, and of SuperLink what sites need."""
    from c2lst_server.federation.link import Link
    from c2lst_server.federation.nginx import Proxy, write_configuration

    link = Link(settings_of(home).folders.superlink, superlink_port)
    write_configuration(out, Proxy(server_name, port, tls_cert, tls_key, api), link, whole=whole)
    typer.echo(f"Wrote {out}. Next: {'nginx -c ' + str(out.resolve()) if whole else 'put it into conf.d and reload nginx'}")
