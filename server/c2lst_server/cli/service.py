"""Commands about the service itself: begin, train, serve, status."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.options import (
    HomeOption,
    JsonOption,
    LogFormatOption,
    PassphraseFileOption,
    passphrase_of,
    session_of,
    settings_of,
)
from c2lst_shared.logs import LogFormat, write_logs

app = typer.Typer()


@app.command()
def init(
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    make_passphrase_file: Annotated[
        bool, typer.Option(help="Make the passphrase file with a random passphrase when it is not there (for trying out).")
    ] = False,
) -> None:
    """Make keys, the signed repository and the database; run again to update the database's tables."""
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
        typer.echo(f"Made the keys, the signed repository and the database in {folders.path}.")
        typer.echo(f"Keep copies of the root and targets keys in {folders.keys} elsewhere, with their passphrase.")
    elif migrated:
        typer.echo(f"Updated the tables of the database; keys and releases in {folders.path} are as they were.")
    else:
        typer.echo(f"{folders.path} is initialised already; nothing was changed.")
    typer.echo(f"Root fingerprint (SHA-256): {initialise.root_fingerprint(folders)}")


@app.command()
def train(
    organ: Annotated[str, typer.Option(help="What the backbone is for, for example mob or breast.")],
    images: Annotated[Path, typer.Option(help="Folder of H&E slides or of tiles, or a corpus of `tiles build`.")],
    preset: Annotated[str, typer.Option(help="tiny (a CPU in minutes), small (a CPU in an hour) or paper (a GPU).")] = "small",
    um_per_px: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres per pixel, where the images do not say.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run; ORGAN-PRESET by default.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps, instead of the preset's.")] = None,
    overlap: Annotated[float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles.")] = 0.5,
    min_tissue: Annotated[float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and noise.")] = 0,
    quality_filter: Annotated[
        bool, typer.Option("--quality-filter/--no-quality-filter", help="Leave out blurred, folded and pen-marked tiles.")
    ] = True,
    corpus_workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare tiles; by default one per core, at most 8.")
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="text: progress for people; json: a line of JSON now and then on standard error.")
    ] = LogFormat.TEXT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tile and normalise the images, then stop.")] = False,
    home: HomeOption = None,
) -> None:
    """Tile and stain-normalise images, then pretrain a backbone; the same command resumes after a stop."""
    from c2lst_server.tiles.processes import default_workers
    from c2lst_server.training import pretrain
    from c2lst_shared.diffusion.workers import join_workers
    from c2lst_shared.presets import get_preset
    from c2lst_shared.progress import Progress, Silent, console_progress, logged_progress
    from c2lst_shared.stopping import stop_on_signal

    chosen = get_preset(preset).with_training_steps(steps)
    name = run or f"{organ}-{preset}"
    workers = join_workers()
    progress: AbstractContextManager[Progress] = console_progress()
    if log_format == LogFormat.JSON:
        write_logs(log_format)
        progress = nullcontext(logged_progress(logging.getLogger(__name__)))
    with progress as shown, stop_on_signal() as stop:
        record = pretrain.train(
            settings_of(home).folders,
            organ=organ,
            images=images,
            preset=chosen,
            run_id=name,
            um_per_px=um_per_px,
            overlap=overlap,
            min_tissue=min_tissue,
            seed=seed,
            quality_filter=quality_filter,
            corpus_only=dry_run,
            corpus_workers=corpus_workers or default_workers(),
            progress=shown if workers.is_first else Silent(),
            stop=stop,
            workers=workers,
        )
    if not workers.is_first:
        return
    typer.echo(f"Corpus of {record.tiles} tiles from {record.images} images.")
    if record.state == "finished":
        typer.echo(
            f"Run {name} is trained: validation loss {record.metrics['validation_loss']:.4f} after {record.steps_done} steps."
        )
        typer.echo(f"Next: c2lst-server publish {name} --organ {organ}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Allow plain HTTP on other addresses than loopback.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at this port, apart from the public one.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address for that; other than loopback needs a token.")] = "127.0.0.1",
    metrics_token_file: Annotated[
        Path | None, typer.Option(help="Its first line must be shown as a bearer token to read metrics.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve releases and enrolment over HTTP, and sign the timestamp again every day."""
    from c2lst_server import serve as serving
    from c2lst_shared.metrics_listener import MetricsPlace

    metrics = None if metrics_port is None else MetricsPlace(metrics_port, metrics_host, metrics_token_file)
    serving.serve(settings_of(home), serving.Listener(host, port, tls_cert, tls_key, insecure_http, log_format, metrics))


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show fingerprint, expiry dates, releases, sites, and which of them are online."""
    from c2lst_server.status import read_status

    settings = settings_of(home)
    with session_of(settings) as session:
        state = read_status(settings.folders, session)
    if as_json:
        typer.echo(state.model_dump_json(indent=1))
        return
    typer.echo(f"Home              {state.home}")
    typer.echo(f"Root fingerprint  {state.root_sha256}")
    typer.echo(f"Releases          {', '.join(state.releases) or 'none yet'}")
    typer.echo(f"Sites             {', '.join(f'{count} {kind}' for kind, count in state.sites.items()) or 'none yet'}")
    linked = "SuperLink does not answer" if state.online is None else ", ".join(state.online) or "none"
    typer.echo(f"Sites online      {linked}")
    for role, expires in state.expires.items():
        typer.echo(f"{role + ' expires':<17} {expires:%Y-%m-%d %H:%M} UTC")
