"""`c2lst-client`: what an institution types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst_client.rounds import commands as rounds
from c2lst_shared.console import confirm, run
from c2lst_shared.logs import LogFormat

if TYPE_CHECKING:
    from c2lst_client.home import Home
    from c2lst_client.journey import Journey
    from c2lst_client.settings import Settings
    from c2lst_client.spots.spotset import SpotSet

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The institution's side of c2lst: all data stays here.",
)
site_app = typer.Typer(no_args_is_help=True, help="The slides that this institution works on.")
app.add_typer(site_app, name="site")
app.add_typer(rounds.rounds_app, name="rounds")
app.add_typer(rounds.policy_app, name="policy")
app.add_typer(rounds.audit_app, name="audit")
app.command()(rounds.worker)

HomeOption = Annotated[Path | None, typer.Option("--home", help="State folder (C2LST_HOME); ~/.local/share/c2lst by default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SiteOption = Annotated[str, typer.Option(help="Name of the site, as given to `site add`.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what was made with other settings.")]
ImageOption = Annotated[Path | None, typer.Option(help="The slide's image, when it cannot be found beside the spots.")]
ScaleOption = Annotated[
    float | None, typer.Option(min=0.05, max=50, help="Micrometres per pixel of the image; from the spot pitch by default.")
]
GuidanceOption = Annotated[float | None, typer.Option(min=0, max=20, help="Guidance scale; the release suggests one.")]
SampleStepsOption = Annotated[int | None, typer.Option("--steps", min=2, max=1000, help="Sampler steps per patch.")]
SamplerOption = Annotated[str | None, typer.Option(help="unipc, dpm++ or ddim.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of all random choices.")]


@app.command()
def enroll(
    file: Annotated[Path, typer.Argument(help="The one-time enrolment file from the centre.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="Root fingerprint as the centre told you by another way; refuse a file with another one.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send nothing, on a machine without a network: releases come by import-bundle.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Trust the centre of an enrolment file and make this institution known to it."""
    from c2lst_client.trust.enrol import enrol

    settings = _settings(home)
    enrolment = enrol(settings.folders, file, fingerprint=fingerprint, offline=offline, proxy=settings.proxy)
    typer.echo(f"Enrolled as {enrolment.site} at {enrolment.server}.")
    typer.echo(f"Root fingerprint, to compare with the centre: {enrolment.root_sha256}")


@app.command("rotate-key")
def rotate_key(home: HomeOption = None) -> None:
    """Make a new key for this institution, here and at the centre; the old one is worth nothing then."""
    from c2lst_client.trust.access import rotate_key as rotate

    settings = _settings(home)
    enrolment = rotate(settings.folders, proxy=settings.proxy)
    typer.echo(f"{enrolment.site} has a new key. Its fingerprint: {enrolment.key_fingerprint}")


@app.command()
def pull(
    organ: Annotated[str, typer.Option(help="For example mob or breast.")],
    release: Annotated[int | None, typer.Option(min=1, help="Number of the release; the newest by default.")] = None,
    home: HomeOption = None,
) -> None:
    """Download a release and verify it."""
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress

    settings = _settings(home)
    with console_progress() as progress:
        pulled = pull_release(settings.folders, organ, release, progress, proxy=settings.proxy)
    typer.echo(f"Release {pulled.manifest.name} is here and verified: {pulled.folder}")


@app.command("export-bundle")
def export_bundle(
    release: Annotated[str, typer.Argument(help="A release that is here, for example mob/1.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
    home: HomeOption = None,
) -> None:
    """Write a release with its signed metadata to one file, for a machine without a network. Carry it there within a week."""
    from c2lst_client.trust.bundle import export_bundle as write_bundle

    size = write_bundle(_home(home), release, out)
    typer.echo(f"Wrote {out}: {release}, {size / 1e6:.1f} MB. Next, there: c2lst-client import-bundle {out.name}")


@app.command("import-bundle")
def import_bundle(
    bundle: Annotated[Path, typer.Argument(help="File made by export-bundle.")],
    home: HomeOption = None,
) -> None:
    """Take in a release from a file, under the same checks as from the server."""
    from c2lst_client.trust.bundle import Bundle
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress
    from c2lst_shared.release.targets import split_release

    with Bundle(bundle) as opened:
        releases = opened.releases()
    with console_progress() as progress:
        for name in releases:
            organ, number = split_release(name)
            pulled = pull_release(_home(home), organ, number, progress, bundle=bundle)
            typer.echo(f"Release {pulled.manifest.name} is here and verified: {pulled.folder}")
    if not releases:
        typer.echo("The bundle holds no release.")


@app.command()
def backup(
    out: Annotated[Path, typer.Option(help="File to write, for example site-2026-11-26.tar; it may not be there yet.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the state folder to one file on this machine, keys included, also while a worker runs."""
    from c2lst_client.backup import back_up
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = back_up(_home(home), out, progress)
    if as_json:
        typer.echo(done.model_dump_json(indent=1))
        return
    typer.echo(f"Backed up {done.files} files, {done.bytes / 1e6:.1f} MB: {done.out}")
    if done.left_out:
        typer.echo(f"Left out, as it was being worked on: {', '.join(done.left_out)}. Run backup again when that is done.")
    typer.echo(
        "It holds this institution's private key and what was made from its data, unencrypted: keep it here, where only you "
        "can read it. The spots and images themselves are not in it."
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Move what is in the state folder aside.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty state folder."""
    from c2lst_client.backup import restore as restore_backup
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = restore_backup(_home(home), file, overwrite=overwrite, progress=progress)
    if as_json:
        typer.echo(done.model_dump_json(indent=1))
        return
    typer.echo(f"Restored {done.home} as it was at {done.made:%Y-%m-%d %H:%M} UTC: {done.files} files.")
    if done.left_out:
        typer.echo(f"Not in it, as it was being worked on then: {', '.join(done.left_out)}.")
    if done.before:
        typer.echo(f"What was there before is in {done.before}; remove it when nothing of it is needed.")
    typer.echo("It has the key of this institution: let no other copy of the folder go on working. Next: c2lst-client doctor")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder or file with spots.")],
    image: ImageOption = None,
    um_per_px: ScaleOption = None,
    preview: Annotated[
        Path | None, typer.Option(help="Write a picture there (.png): the slide with its spots, and twelve patches.")
    ] = None,
    patch_um: Annotated[float, typer.Option(min=1, max=10_000, help="Side of the picture's patches, in micrometres.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Say what is found at a path (format, spots, genes, scale, doubts), without running or keeping anything."""
    import tempfile

    from c2lst_client.spots.read import read_spots

    with tempfile.TemporaryDirectory() as scratch:
        found = read_spots(path, image, um_per_px, image_folder=Path(scratch))
        if preview is not None:
            from c2lst_client.preview import write_preview

            write_preview(found, preview, patch_um)
        _print_spots(found, as_json, preview)


@site_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'.")],
    organ: Annotated[str, typer.Option(help="Organ of the release to use, for example mob.")],
    spots: Annotated[Path, typer.Option(help="Folder or file with the spots.")],
    image: ImageOption = None,
    um_per_px: ScaleOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a slide with its spots under a name, once it has been read without complaint."""
    from c2lst_client import sites

    site, found = sites.add_site(_home(home), name, organ=organ, spots=spots, image=image, um_per_px=um_per_px)
    _print_spots(found, as_json)
    if not as_json:
        typer.echo(f"Next: c2lst-client adapt --site {site.name}")


@site_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the sites of this institution."""
    from c2lst_client import sites

    folder = _home(home)
    records = [sites.open_site(folder, name).record for name in sites.site_names(folder)]
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
        return
    for record in records:
        typer.echo(f"{record.name:<20} {record.organ:<12} {record.spots}")
    if not records:
        typer.echo("No site yet; add one with `c2lst-client site add NAME --organ ORGAN --spots PATH`.")


@app.command()
def adapt(
    site: SiteOption,
    release: Annotated[str | None, typer.Option(help="For example mob/1; the newest that is here by default.")] = None,
    fraction: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Of the spots that train; 0.25 by default.")
    ] = None,
    split: Annotated[Literal["random", "blocked"] | None, typer.Option(help="How training spots are chosen.")] = None,
    genes: Annotated[int | None, typer.Option(min=1, help="Genes in the panel, the most expressed ones.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps, instead of the release's suggestion.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the split, the adapter and its training.")] = None,
    dp_epsilon: Annotated[
        float | None, typer.Option(min=0, max=1000, help="Train with differential privacy per spot (DP-SGD); 0 for without.")
    ] = None,
    dp_delta: Annotated[float | None, typer.Option(min=0, max=1, help="Its delta; 0.001 by default.")] = None,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
) -> None:
    """Train the site's adapter, after pulling, reading, stain-normalising and splitting as far as that is missing."""
    from c2lst_client.dp_budget import sentence
    from c2lst_client.options import AdaptOptions

    options = AdaptOptions(
        release=release,
        fraction=fraction,
        split=split,
        genes=genes,
        steps=steps,
        seed=seed,
        overwrite=overwrite,
        dp_epsilon=dp_epsilon,
        dp_delta=dp_delta,
    )
    with _journey(home, site) as journey:
        adapted = journey.adapt(options)
    split_made = adapted.adaptation.split
    typer.echo(
        f"Adapter of {site} on {adapted.release.manifest.name}: {len(split_made.train)} training spots, "
        f"{len(split_made.test)} held out, {len(adapted.adaptation.panel.genes)} genes."
    )
    if adapted.adaptation.record.dp is not None:
        typer.echo(sentence(adapted.adaptation.record.dp))


@app.command()
def synthesise(
    site: SiteOption,
    per_spot: Annotated[int | None, typer.Option(min=1, max=1000, help="Pairs per training spot.")] = None,
    expression: Annotated[
        Literal["interpolated", "observed"], typer.Option(help="Mix similar spots' expression, or repeat observed rows.")
    ] = "interpolated",
    guidance: GuidanceOption = None,
    steps: SampleStepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
) -> None:
    """Generate synthetic pairs; they stay on this machine."""
    from c2lst_client.options import SampleOptions

    options = SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
    with _journey(home, site) as journey:
        pairs = journey.synthesise(options, per_spot=per_spot, mode=expression)
    typer.echo(f"{len(pairs)} synthetic pairs in {pairs.folder}")


@app.command()
def export(
    site: SiteOption,
    out: Annotated[Path, typer.Option(help="Folder to make; nothing is overwritten.")],
    format: Annotated[
        Literal["hest", "spatialdata"], typer.Option(help="patches.h5 and expression.h5ad, or one SpatialData store (Zarr).")
    ] = "hest",
    allow_observed: Annotated[
        bool, typer.Option("--allow-observed", help="Also when the pairs carry the observed expression of real spots.")
    ] = False,
    without_privacy_check: Annotated[
        bool, typer.Option("--without-privacy-check", help="Also when privacy was not measured, or the measurement forbids it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    home: HomeOption = None,
) -> None:
    """Copy synthetic pairs out of the state folder, after asking; the audit log gets a line."""
    from c2lst_client.audit import AuditLog
    from c2lst_client.export import plan_export, write_export
    from c2lst_client.rounds.policy import load_policy
    from c2lst_client.sites import open_site

    folder = _home(home)
    opened = open_site(folder, site)
    with opened.exclusively():
        planned = plan_export(
            opened,
            out,
            policy=load_policy(folder),
            format=format,
            allow_observed=allow_observed,
            without_privacy_check=without_privacy_check,
        )
        for sentence in planned.sentences():
            typer.echo(sentence)
        if not yes:
            confirm("Write them?", instead="--yes")
        typer.echo(f"Exported to {write_export(planned, AuditLog(folder.audit_log))}")


@app.command()
def evaluate(
    site: SiteOption,
    guidance: GuidanceOption = None,
    steps: SampleStepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate from the expression of held-out spots and measure whether the morphology follows it."""
    from c2lst_client.options import SampleOptions

    with _journey(home, site) as journey:
        result = journey.evaluate(
            SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
        )
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    typer.echo(f"Nuclear fraction of {len(result.barcodes)} held-out spots, synthetic against real, Pearson r [95 %]:")
    for label, value in (
        ("synthetic", result.r),
        ("synthetic, concordance", result.concordance),
        ("conditions shuffled", result.shuffled_r),
        ("ridge regression on the genes", result.ridge_r),
    ):
        typer.echo(f"  {label:<30} {value.value:6.3f}  [{value.low:.3f}, {value.high:.3f}]")


@app.command()
def cotrain(
    site: SiteOption,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Repeats of each arm.")] = None,
    ratio: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="Synthetic pairs per training spot; repeat for several arms.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the gene expression predictor with and without synthetic pairs and say whether they helped."""
    with _journey(home, site) as journey:
        result = journey.cotrain(seeds=seeds, ratios=ratio)
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    typer.echo(f"{'TRAINED ON':<38} {'MAE [95 %]':<24} PEARSON r [95 %]")
    for arm in result.arms:
        mae, r = arm.mae, arm.pearson
        typer.echo(
            f"{arm.label:<38} {mae.value:.4f} [{mae.low:.4f}, {mae.high:.4f}] {r.value:7.4f} [{r.low:.4f}, {r.high:.4f}]"
        )
    typer.echo(result.verdict)


@app.command()
def privacy(site: SiteOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Attack adapter and synthetic pairs as an outsider would, and say whether the pairs may be exported."""
    from c2lst_client.privacy.export_rule import decide
    from c2lst_client.privacy.words import lines

    with _journey(home, site) as journey:
        result = journey.privacy()
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    for line in lines(result):
        typer.echo(line)
    decision = decide(result)
    typer.echo(f"Export is {decision.verdict}.")
    for reason in decision.reasons:
        typer.echo(f"  {reason}")


@app.command()
def report(site: SiteOption, home: HomeOption = None) -> None:
    """Write the site's report, after everything that it needs."""
    with _journey(home, site) as journey:
        path = journey.report()
    typer.echo(f"Report: {path}")


@app.command()
def study(
    site: SiteOption,
    fraction: Annotated[
        list[float] | None, typer.Option(min=0.01, max=0.9, help="Share of the spots that train; repeat for several.")
    ] = None,
    ratio: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="Synthetic pairs per training spot; repeat for several.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=100, help="Divisions of each kind.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Trainings of each arm.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Passes of the arms that go by epochs, 200 by default; 0 leaves them out.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Encoder that patches are compared with: built-in, or a local path (docs/encoders.md).")
    ] = "built-in",
    hovernet: Annotated[Path | None, typer.Option(help="Local weights of HoVer-Net (PanNuke), to compare cell types.")] = None,
    release: Annotated[str | None, typer.Option(help="For example mob/1; the adapter's, or the newest.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is to be made, then stop.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole evaluation with its controls and say whether synthetic pairs help at this site; resumable.

    The usual design: 5, 10, 25 and 50 % of the spots and ratios 1, 2, 5 and 10, three random divisions of each kind, and three
    by a line on which no held-out patch overlaps a training patch.
    """
    from c2lst_client.options import StudyOptions

    options = StudyOptions(
        release=release,
        fractions=tuple(fraction) if fraction else None,
        ratios=tuple(ratio) if ratio else None,
        repeats=repeats,
        seeds=seeds,
        epochs=epochs,
        encoder=encoder if encoder == "built-in" else Path(encoder),
        hovernet=hovernet,
    )
    with _journey(home, site) as journey:
        if dry_run:
            plan = journey.plan_study(options)
            typer.echo(plan.model_dump_json(indent=1) if as_json else "\n".join(plan.sentences()))
            return
        result = journey.study(options, lambda line: typer.echo(line, err=True))
        page = journey.study_page
    typer.echo(result.model_dump_json(indent=1) if as_json else "\n".join([*result.verdict, f"Page: {page}"]))


@app.command()
def join(
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing: say whether it runs and the centre sees it. Exit code 1 when not.")
    ] = False,
    grace: Annotated[
        float, typer.Option(min=0, max=600, help="With --check: seconds after a start in which the link may be missing.")
    ] = 120,
    log_format: rounds.LogFormatOption = LogFormat.TEXT,
    metrics_port: rounds.MetricsPortOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take part in rounds until stopped: link to the centre, answer by the site's policy, work that was approved."""
    if check:
        from c2lst_client.federation.health_check import check_join

        found = check_join(_settings(home), grace=grace)
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
        take_part(_settings(home), report, stop, log_format=log_format, metrics=metrics)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the enrolment, the releases that are here, how far each site is, and rounds that wait for approval."""
    from c2lst_client.status import read_status

    state = read_status(_home(home))
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

    findings = examine(_settings(home), offline=offline)
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:<8} {finding.subject:<18} {finding.found}")
            if finding.to_do:
                typer.echo(f"{'':<27} -> {finding.to_do}")
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    run(app)


def _settings(home: Path | None) -> Settings:
    from c2lst_client.settings import Settings

    return Settings() if home is None else Settings(home=home)


def _home(home: Path | None) -> Home:
    return _settings(home).folders


@contextmanager
def _journey(home: Path | None, site: str) -> Iterator[Journey]:
    """Open a site's journey with progress on the terminal and a polite stop."""
    from c2lst_client.sites import open_site

    settings = _settings(home)
    opened = open_site(settings.folders, site)  # before torch and the others are imported: a wrong name is told at once
    from c2lst_client.journey import Journey
    from c2lst_shared.progress import console_progress
    from c2lst_shared.stopping import stop_on_signal

    with opened.exclusively(), console_progress() as progress, stop_on_signal() as stop:
        yield Journey(settings, opened, progress=progress, stop=stop)


def _print_spots(spots: SpotSet, as_json: bool, preview: Path | None = None) -> None:
    if as_json:
        found: dict[str, object] = {
            "source": spots.source,
            "spots": len(spots),
            "genes": len(spots.genes),
            "um_per_px": spots.um_per_px,
            "image": str(spots.slide.path),
            "notes": spots.notes,
        }
        if preview is not None:
            found["preview"] = str(preview)
        typer.echo(json.dumps(found, indent=1))
        return
    width, height = spots.slide.size
    typer.echo(f"{spots.source}: {len(spots)} spots, {len(spots.genes)} genes, image {width} x {height} px")
    for note in spots.notes:
        typer.echo(f"  {note}")
    if preview is not None:
        typer.echo(f"Preview: {preview}")
