"""`c2lst-server`: what the central operator types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_shared.console import run as run_app

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from c2lst_server.publishing.staging import Staged
    from c2lst_server.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="The central service of c2lst.")
sites_app = typer.Typer(no_args_is_help=True, help="The institutions that may pull releases and take part in rounds.")
releases_app = typer.Typer(no_args_is_help=True, help="What was published.")
stage_app = typer.Typer(no_args_is_help=True, help="Write what is to be signed, for keys that are kept on other machines.")
app.add_typer(sites_app, name="sites")
app.add_typer(stage_app, name="stage")
app.add_typer(releases_app, name="releases")

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="State folder (C2LST_SERVER_HOME); ~/.local/share/c2lst-server by default."),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(help="File whose first line is the passphrase of the keys; else C2LST_SERVER_PASSPHRASE, or you are asked."),
]
StagedOption = Annotated[Path, typer.Option("--out", help="File to write; carry it to the keys.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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

    settings = _settings(home, passphrase_file)
    folders = settings.folders
    if make_passphrase_file and passphrase_file is None:
        raise typer.BadParameter("--make-passphrase-file needs --passphrase-file to say where.")
    made = not (folders.metadata / "timestamp.json").exists()
    if made:
        if make_passphrase_file and passphrase_file is not None:
            passphrase.make_passphrase_file(passphrase_file)
        initialise.initialise(folders, _passphrase(settings, confirm=True)())
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
    images: Annotated[Path, typer.Option(help="Folder of H&E images (JPEG, PNG, TIFF), one slide each.")],
    preset: Annotated[str, typer.Option(help="tiny (a CPU in minutes), small (a CPU in an hour) or paper (a GPU).")] = "small",
    um_per_px: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres per pixel, where the images do not say.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run; ORGAN-PRESET by default.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps, instead of the preset's.")] = None,
    overlap: Annotated[float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles.")] = 0.5,
    min_tissue: Annotated[float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and noise.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tile and normalise the images, then stop.")] = False,
    home: HomeOption = None,
) -> None:
    """Tile and stain-normalise images, then pretrain a backbone; the same command resumes after a stop."""
    from c2lst_server.training import pretrain
    from c2lst_shared.diffusion.workers import join_workers
    from c2lst_shared.presets import get_preset
    from c2lst_shared.progress import Silent, console_progress
    from c2lst_shared.stopping import stop_on_signal

    chosen = get_preset(preset).with_training_steps(steps)
    name = run or f"{organ}-{preset}"
    workers = join_workers()
    with console_progress() as shown, stop_on_signal() as stop:
        record = pretrain.train(
            _settings(home).folders,
            organ=organ,
            images=images,
            preset=chosen,
            run_id=name,
            um_per_px=um_per_px,
            overlap=overlap,
            min_tissue=min_tissue,
            seed=seed,
            corpus_only=dry_run,
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
def publish(
    run: Annotated[str | None, typer.Argument(help="Name of a finished run.")] = None,
    organ: Annotated[str | None, typer.Option(help="Organ of the release.")] = None,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    staged: Annotated[
        Path | None, typer.Option(help="A file of `stage` that enough keys have signed, in place of RUN.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest; sign and change nothing.")] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Sign a finished run as the next release of its organ and make it visible; or make visible what was signed elsewhere."""
    from c2lst_server.publishing import publish as publishing
    from c2lst_server.publishing import staging
    from c2lst_server.publishing.keys import Keyring

    settings = _settings(home, passphrase_file)
    folders = settings.folders
    with _session(settings) as session:
        if staged is not None:
            done = staging.publish_staged(folders, session, staged)
            typer.echo(f"Done: {done.in_words}.")
            return
        if run is None or organ is None:
            raise typer.BadParameter("Give RUN and --organ, or --staged FILE.")
        if dry_run:
            typer.echo(publishing.describe(folders, session, run, organ=organ, summary=summary).model_dump_json(indent=1))
            return
        keyring = Keyring(folders.keys, _passphrase(settings))
        manifest = publishing.publish(folders, session, keyring, run, organ=organ, summary=summary)
    typer.echo(f"Published {manifest.name}: {_size(manifest.weights_bytes)}, SHA-256 {manifest.weights_sha256}.")


@stage_app.command("publish")
def stage_publish(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    organ: Annotated[str, typer.Option(help="Organ of the release.")],
    out: StagedOption,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    home: HomeOption = None,
) -> None:
    """Put a run in its place as the next release, unseen, and write what is to be signed."""
    from c2lst_server.publishing import staging

    settings = _settings(home)
    with _session(settings) as session:
        staged = staging.stage_publication(settings.folders, session, run, organ=organ, summary=summary, out=out)
    _print_staged(staged, out)


@stage_app.command("withdraw")
def stage_withdraw(
    release: Annotated[str, typer.Argument(help="For example mob/1.")],
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    out: StagedOption,
    home: HomeOption = None,
) -> None:
    """Write what is to be signed to take a release back."""
    from c2lst_server.publishing import staging
    from c2lst_shared.release.targets import split_release

    _print_staged(staging.stage_withdrawing(_settings(home).folders, *split_release(release), reason, out=out), out)


@stage_app.command("renew")
def stage_renew(out: StagedOption, home: HomeOption = None) -> None:
    """Write the targets and every organ's role, to be signed again before they expire (90 days)."""
    from c2lst_server.publishing import staging

    _print_staged(staging.stage_renewal(_settings(home).folders, out=out), out)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="A file of `stage`.")],
    key: Annotated[Path, typer.Option(help="PEM of one of the targets keys.")],
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Add one signature to a staged file; needs neither the server nor a network."""
    from c2lst_server.publishing import staging

    typer.echo(f"This is to {staging.read_staged(file).in_words}.", err=True)
    _print_staged(staging.add_signature(file, key, _passphrase(_settings(None, passphrase_file))), file)


@app.command()
def withdraw(
    release: Annotated[str, typer.Argument(help="For example mob/1.")],
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Take a release back: sign that it is not to be used any more. Its number is not given again."""
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.withdraw import withdraw as withdraw_release
    from c2lst_shared.release.targets import split_release

    settings = _settings(home, passphrase_file)
    organ, number = split_release(release)
    signed = withdraw_release(settings.folders, Keyring(settings.folders.keys, _passphrase(settings)), organ, number, reason)
    typer.echo(f"{release} is {signed}. Sites set it aside at their next pull.")


@app.command()
def renew(home: HomeOption = None, passphrase_file: PassphraseFileOption = None) -> None:
    """Sign the targets and every organ's role again before they expire (90 days)."""
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.refresh import renew_targets

    settings = _settings(home, passphrase_file)
    signed = renew_targets(settings.folders, Keyring(settings.folders.keys, _passphrase(settings)))
    typer.echo(f"Signed again: {', '.join(signed)}.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Allow plain HTTP on other addresses than loopback.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Serve releases and enrolment over HTTP, and sign the timestamp again every day."""
    from c2lst_server import serve as serving

    serving.serve(_settings(home), serving.Listener(host, port, tls_cert, tls_key, insecure_http))


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show fingerprint, expiry dates, releases and sites."""
    from c2lst_server.status import read_status

    settings = _settings(home)
    with _session(settings) as session:
        state = read_status(settings.folders, session)
    if as_json:
        typer.echo(state.model_dump_json(indent=1))
        return
    typer.echo(f"Home              {state.home}")
    typer.echo(f"Root fingerprint  {state.root_sha256}")
    typer.echo(f"Releases          {', '.join(state.releases) or 'none yet'}")
    typer.echo(f"Sites             {', '.join(f'{count} {kind}' for kind, count in state.sites.items()) or 'none yet'}")
    for role, expires in state.expires.items():
        typer.echo(f"{role + ' expires':<17} {expires:%Y-%m-%d %H:%M} UTC")


@releases_app.command("list")
def list_releases(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all releases."""
    from c2lst_server.publishing.catalogue import read_catalogue

    catalogue = read_catalogue(_settings(home).folders)
    if as_json:
        typer.echo(catalogue.model_dump_json(indent=1))
        return
    rows = [
        (item.name, f"{item.created:%Y-%m-%d}", item.preset, _size(item.weights_bytes), item.summary)
        for item in catalogue.releases
    ]
    _print_table(("RELEASE", "CREATED", "PRESET", "SIZE", "SUMMARY"), rows, empty="No release yet.")


@sites_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    url: Annotated[str, typer.Option(help="Where the site reaches this server, for example https://central.example.org.")],
    out: Annotated[Path, typer.Option(help="Enrolment file to write; hand it to the site over a safe way.")],
    ca: Annotated[Path | None, typer.Option(help="PEM of the certificate authority that the site shall accept.")] = None,
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Allow an http:// URL of another machine.")] = False,
    home: HomeOption = None,
) -> None:
    """Invite a site: write its one-time enrolment file. Repeat to replace a file that was lost before use."""
    from c2lst_server.sites import registry

    settings = _settings(home)
    with _session(settings) as session:
        address = registry.Address(url, registry.read_ca(ca) if ca else None, insecure_http)
        file = registry.invite(session, settings.folders, name, address, out=out)
    typer.echo(f"Wrote {out}: it enrols site {name} once, until {file.expires:%Y-%m-%d %H:%M} UTC. Treat it as a secret.")
    typer.echo(f"Root fingerprint to compare with the site: {file.root_sha256}")


@sites_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all sites."""
    from c2lst_server.sites import registry

    with _session(_settings(home)) as session:
        sites = registry.list_sites(session)
    if as_json:
        typer.echo(json.dumps([site.model_dump(mode="json") for site in sites], indent=1))
        return
    rows = [
        (site.name, site.state, f"{site.enrolled:%Y-%m-%d}" if site.enrolled else "-", site.key_fingerprint or "-")
        for site in sites
    ]
    _print_table(("SITE", "STATE", "ENROLLED", "KEY FINGERPRINT"), rows, empty="No site yet.")


@sites_app.command("suspend")
def suspend_site(name: str, home: HomeOption = None) -> None:
    """Stop dealing with a site; its unused enrolment file becomes void."""
    from c2lst_server.sites import registry

    with _session(_settings(home)) as session:
        registry.suspend(session, name)
    typer.echo(f"Site {name} is suspended.")


@sites_app.command("resume")
def resume_site(name: str, home: HomeOption = None) -> None:
    """Deal with a suspended site again."""
    from c2lst_server.sites import registry

    with _session(_settings(home)) as session:
        state = registry.resume(session, name).state
    typer.echo(f"Site {name} is {state} again.")


@sites_app.command("remove")
def remove_site(name: str, home: HomeOption = None) -> None:
    """Forget a site and its key; what it has pulled stays with it."""
    from c2lst_server.sites import registry

    with _session(_settings(home)) as session:
        registry.remove(session, name)
    typer.echo(f"Site {name} is removed.")


def main() -> None:
    """Run the command line; the exit code says which branch of the error tree was met."""
    run_app(app)


def _settings(home: Path | None, passphrase_file: Path | None = None) -> Settings:
    from c2lst_server.settings import Settings

    given = {"home": home, "passphrase_file": passphrase_file}
    return Settings().model_copy(update={name: value for name, value in given.items() if value is not None})


@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    from sqlalchemy.orm import Session

    from c2lst_server.db.session import open_database

    engine = open_database(settings)
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def _passphrase(settings: Settings, *, confirm: bool = False) -> Callable[[], str]:
    """Give a function that finds the passphrase when a key is to be opened; people at a terminal are asked."""

    def find() -> str:
        if settings.has_passphrase or not sys.stdin.isatty():
            return settings.read_passphrase()
        answer: str = typer.prompt("Passphrase of the root and targets keys", hide_input=True, confirmation_prompt=confirm)
        return answer

    return find


def _print_staged(staged: Staged, path: Path) -> None:
    typer.echo(f"{path}: {staged.in_words}")
    counts = staged.signatures()
    for role, count in counts.items():
        typer.echo(f"  {role:<12} {count} of {staged.signers[role].threshold} signatures")
    complete = all(count >= staged.signers[role].threshold for role, count in counts.items())
    following = f"c2lst-server publish --staged {path}" if complete else f"c2lst-server sign {path} --key KEY"
    typer.echo(f"Next: {following}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _print_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, empty: str) -> None:
    if not rows:
        typer.echo(empty)
        return
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    for row in [titles, *rows]:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
