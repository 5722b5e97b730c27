"""Commands about the service itself: begin, serve, status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import passphrase_of, session_of, settings_of
from c2lst_server.cli.options import HomeOption, PassphraseFileOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.logs import LogFormat

app = CommandLine(panel="The service")
TLS, METRICS = "Encryption", "Logs and metrics"


@app.command()
def init(
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    make_passphrase_file: Annotated[
        bool, typer.Option(help="Make the passphrase file with a random passphrase when it is not there (for trying out).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make keys, the signed repository and the database; run again to update the database's tables.

    Asks for the passphrase of the root and targets keys. Keep copies of these keys on other media, and tell sites the
    fingerprint that is printed.

    Examples:
        c2lst-server init
        c2lst-server init --passphrase-file passphrase --make-passphrase-file
    """
    from c2lst_server.db.session import migrate
    from c2lst_server.publishing import initialise, passphrase

    settings = settings_of(home, passphrase_file)
    folders = settings.folders
    if make_passphrase_file and passphrase_file is None:
        raise typer.BadParameter("--make-passphrase-file needs --passphrase-file to say where.")
    made = not (folders.metadata / "timestamp.json").exists()
    if made:
        if make_passphrase_file and passphrase_file is not None:
            passphrase.make_passphrase_file(passphrase_file)
        initialise.initialise(folders, passphrase_of(settings, confirm=True)())
    migrated = migrate(settings)
    if made:
        lines = [
            f"Made the keys, the signed repository and the database in {folders.path}.",
            f"Keep copies of the root and targets keys in {folders.keys} elsewhere, with their passphrase.",
        ]
    elif migrated:
        lines = [f"Updated the tables of the database; keys and releases in {folders.path} are as they were."]
    else:
        lines = [f"{folders.path} is initialised already; nothing was changed."]
    fingerprint = initialise.root_fingerprint(folders)
    result = {"home": folders.path, "made": made, "migrated": migrated, "root_sha256": fingerprint}
    show(result, [*lines, f"Root fingerprint (SHA-256): {fingerprint}"], as_json=as_json)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate with its chain, PEM.", rich_help_panel=TLS)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", rich_help_panel=TLS)] = None,
    insecure_http: Annotated[
        bool,
        typer.Option("--insecure-http", help="Allow plain HTTP on other addresses than loopback.", rich_help_panel=TLS),
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="Of the lines on standard error: text or json.", rich_help_panel=METRICS)
    ] = LogFormat.TEXT,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Serve Prometheus metrics at this port, apart from the public one.",
            rich_help_panel=METRICS,
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address for that; other than loopback needs a token.", rich_help_panel=METRICS)
    ] = "127.0.0.1",
    metrics_token_file: Annotated[
        Path | None,
        typer.Option(help="Its first line must be shown as a bearer token to read metrics.", rich_help_panel=METRICS),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve releases and enrolment over HTTP, and sign the timestamp again every day.

    Runs until stopped (Ctrl-C, SIGTERM). Where rounds are held, a proxy stands in front of it (`proxy-config`), and it listens
    on loopback.

    Examples:
        c2lst-server serve
        c2lst-server serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
        c2lst-server serve --log-format json --metrics-port 9464
    """
    from c2lst_server import serve as serving
    from c2lst_shared.metrics_listener import MetricsPlace

    metrics = None if metrics_port is None else MetricsPlace(metrics_port, metrics_host, metrics_token_file)
    serving.serve(settings_of(home), serving.Listener(host, port, tls_cert, tls_key, insecure_http, log_format, metrics))


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show fingerprint, expiry dates, releases, sites, and which of them are online.

    Examples:
        c2lst-server status
        c2lst-server status --json
    """
    from c2lst_server.status import read_status

    settings = settings_of(home)
    with session_of(settings) as session:
        state = read_status(settings.folders, session)
    linked = "SuperLink does not answer" if state.online is None else ", ".join(state.online) or "none"
    lines = [
        f"Home              {state.home}",
        f"Root fingerprint  {state.root_sha256}",
        f"Releases          {', '.join(state.releases) or 'none yet'}",
        f"Sites             {', '.join(f'{count} {kind}' for kind, count in state.sites.items()) or 'none yet'}",
        f"Sites online      {linked}",
        *(f"{role + ' expires':<17} {expires:%Y-%m-%d %H:%M} UTC" for role, expires in state.expires.items()),
    ]
    show(state, lines, as_json=as_json)
