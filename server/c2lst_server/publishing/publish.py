"""A finished run becomes a signed release."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata, TargetFile, Targets

from c2lst_server.actions import Action, note
from c2lst_server.db.models import Release
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_manifest, signed_targets
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.repository import Repository, editing
from c2lst_server.runs import RunRecord, latest_samples, load_run
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import get_preset
from c2lst_shared.release.manifest import (
    MANIFEST,
    SAMPLES,
    WEIGHTS,
    Manifest,
    Provenance,
    SiteDefaults,
    parse_manifest,
)
from c2lst_shared.release.targets import HASHES, check_organ, complete_numbers, served_path, target_path
from c2lst_shared.release.weights import load_weights, read_specs, sha256_of
from c2lst_shared.release.withdrawal import withdrawals


def publish(home: Home, session: Session, keyring: Keyring, run_id: str, *, organ: str, summary: str = "") -> Manifest:
    """Make the next release of `organ` from a run, sign it, and make it visible; an interrupted call is finished by the next.

    Raises:
        BadInput: the run is unknown, unfinished, of another organ, or published already; or a key cannot be opened.
        BadArtefact: the run's weights are damaged, or a site would refuse the result; nothing was changed.
    """
    with editing(home, keyring) as repository:
        visible = _remember_interrupted(home, session, run_id, organ)
        if visible is not None:
            return visible
        keyring.signers(organ)  # a wrong passphrase shows before anything is copied
        manifest, files = place(home, session, repository, run_id, organ=organ, summary=summary)
        make_visible(home, session, repository, manifest, run_id, files)
    return manifest


def place(
    home: Home, session: Session, repository: Repository, run_id: str, *, organ: str, summary: str = ""
) -> tuple[Manifest, dict[str, TargetFile]]:
    """Describe the release, put its files where they are served, and stage them; nobody is led to them yet.

    Raises:
        BadInput, BadArtefact: as `describe`.
    """
    manifest = describe(home, session, run_id, organ=organ, summary=summary)
    files = _place(home, manifest, run_id)
    repository.add(organ, files)
    return manifest, files


def make_visible(
    home: Home,
    session: Session,
    repository: Repository,
    manifest: Manifest,
    run_id: str,
    files: Mapping[str, TargetFile],
    signed: Mapping[str, Metadata[Targets]] | None = None,
) -> None:
    """Commit the staged (or elsewhere `signed`) metadata and remember the release; take the files back when that fails.

    Raises:
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    session.add(_row(manifest, run_id))
    note(session, Action.PUBLISHED, manifest.name, f"run {run_id}")
    session.flush()  # what the database would refuse, it refuses before anything is visible
    try:
        repository.commit(new=files, signed=signed)
    except BaseException:
        if signed is None:  # what was staged for signing elsewhere waits for better signatures
            _take_back(home, manifest.organ, files)
        raise
    session.commit()


def describe(home: Home, session: Session, run_id: str, *, organ: str, summary: str = "") -> Manifest:
    """Return the manifest that publishing this run now would sign.

    Raises:
        BadInput: the run is unknown, unfinished, of another organ, or published already.
        BadArtefact: the run's weights are damaged.
    """
    home.check_initialised()
    record = load_run(home, run_id)
    _check_publishable(session, record, check_organ(organ))
    weights = home.run(run_id) / WEIGHTS
    if not weights.is_file():
        raise BadInput(f"Run {run_id} has no {WEIGHTS}; train it to its end.")
    tensors, sha256 = read_specs(weights), sha256_of(weights)
    load_weights(weights, tensors, sha256=sha256)  # what a site would refuse is not signed
    preset = get_preset(record.preset)
    manifest = Manifest(
        organ=organ,
        number=_next_number(home, organ),
        created=datetime.now(UTC).replace(microsecond=0),
        preset=record.preset,
        backbone=record.backbone,
        diffusion=record.diffusion,
        stain=record.stain,
        defaults=SiteDefaults(
            adapter=preset.adapter,
            adaptation=preset.adaptation,
            sampling=preset.sampling,
            predictor=preset.predictor,
            genes=preset.genes,
        ),
        weights_bytes=weights.stat().st_size,
        weights_sha256=sha256,
        tensors=tensors,
        provenance=Provenance(
            images=record.images,
            tiles=record.tiles,
            training=record.training,
            steps_done=record.steps_done,
            seed=record.seed,
            software=record.software,
        ),
        metrics=record.metrics,
        summary=summary,
    )
    return parse_manifest(manifest.model_dump_json().encode())  # as a site will read it


def _check_publishable(session: Session, record: RunRecord, organ: str) -> None:
    if record.organ != organ:
        raise BadInput(
            f"Run {record.run_id} was trained for organ {record.organ!r}, not {organ!r}; pass --organ {record.organ}."
        )
    if record.state != "finished":
        raise BadInput(f"Run {record.run_id} is {record.state} after {record.steps_done} steps; train it to its end first.")
    earlier = session.scalar(select(Release).where(Release.run_id == record.run_id))
    if earlier is not None:
        raise BadInput(f"Run {record.run_id} is already published as {earlier.organ}/{earlier.number}.")


def _remember_interrupted(home: Home, session: Session, run_id: str, organ: str) -> Manifest | None:
    """Return the release of this run that became visible just before an earlier call ended, which then is remembered."""
    load_run(home, run_id)
    signed, weights = signed_targets(home, check_organ(organ)), home.run(run_id) / WEIGHTS
    remembered = set(session.scalars(select(Release.number).where(Release.organ == organ)))
    for number in complete_numbers(signed, organ):
        digest = signed[target_path(organ, number, WEIGHTS)].hashes["sha256"]
        if number not in remembered and weights.is_file() and sha256_of(weights) == digest:
            manifest = read_manifest(home, organ, number)
            session.add(_row(manifest, run_id))
            note(session, Action.PUBLISHED, manifest.name, f"run {run_id}")
            session.commit()
            return manifest
    return None


def _next_number(home: Home, organ: str) -> int:
    signed = signed_targets(home, organ)
    return max([*complete_numbers(signed, organ), *withdrawals(signed, organ)], default=0) + 1  # no number is given twice


def _place(home: Home, manifest: Manifest, run_id: str) -> dict[str, TargetFile]:
    """Put the release's files where they are served; until the metadata names them nobody asks for them."""
    folder = home.run(run_id)
    atomic.write_text(folder / MANIFEST, manifest.model_dump_json(indent=1))
    sources = {MANIFEST: folder / MANIFEST, WEIGHTS: folder / WEIGHTS, SAMPLES: latest_samples(home, run_id)}
    files = {}
    for name, source in sources.items():
        path = target_path(manifest.organ, manifest.number, name)
        files[path] = TargetFile.from_file(path, str(source), HASHES)
        with atomic.replacing(home.targets / served_path(path, files[path].hashes["sha256"])) as temporary:
            shutil.copyfile(source, temporary)
    return files


def _take_back(home: Home, organ: str, files: Mapping[str, TargetFile]) -> None:
    """Remove files that were placed, unless they became visible at the last moment."""
    visible = signed_targets(home, organ)
    for path, file in files.items():
        if path not in visible:
            (home.targets / served_path(path, file.hashes["sha256"])).unlink(missing_ok=True)


def _row(manifest: Manifest, run_id: str) -> Release:
    return Release(
        organ=manifest.organ,
        number=manifest.number,
        run_id=run_id,
        weights_sha256=manifest.weights_sha256,
        published=manifest.created,
    )
