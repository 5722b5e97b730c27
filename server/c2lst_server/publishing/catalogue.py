"""What the server offers, read from what it has signed."""

from __future__ import annotations

from datetime import UTC, datetime

from tuf.api.metadata import TargetFile

from c2lst_server.errors import NotThere
from c2lst_server.home import Home
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.repository import Repository
from c2lst_shared.release.manifest import MANIFEST, Manifest, parse_manifest
from c2lst_shared.release.targets import complete_numbers, served_path, target_path
from c2lst_shared.wire import Catalogue, ReleaseSummary


def read_catalogue(home: Home, *, limit: int | None = None, offset: int = 0) -> Catalogue:
    """Return releases by organ and rising number: all of them, or `limit` of those after the first `offset`."""
    home.check_initialised()
    names = []
    for organ in reading(home).organs():
        signed = signed_targets(home, organ)
        names += [(organ, number, signed) for number in complete_numbers(signed, organ)]
    page = names[offset : None if limit is None else offset + limit]
    return Catalogue(releases=[_summary(_read(home, *name)) for name in page])


def read_manifest(home: Home, organ: str, number: int) -> Manifest:
    """Return the manifest of one release.

    Raises:
        NotThere: there is no such release.
        BadArtefact: its file is damaged.
    """
    home.check_initialised()
    signed = signed_targets(home, organ)
    if number not in complete_numbers(signed, organ):
        raise NotThere(f"There is no release {organ}/{number}.")
    return _read(home, organ, number, signed)


def signed_targets(home: Home, organ: str) -> dict[str, TargetFile]:
    """Return target path -> signed length and digest for `organ`, empty when nothing was published for it."""
    repository = reading(home)
    return repository.targets(organ).targets if organ in repository.organs() else {}


def reading(home: Home) -> Repository:
    """Return the repository for reading only."""
    return Repository(home, Keyring(home.keys, str), datetime.now(UTC))


def _read(home: Home, organ: str, number: int, signed: dict[str, TargetFile]) -> Manifest:
    path = target_path(organ, number, MANIFEST)
    return parse_manifest((home.targets / served_path(path, signed[path].hashes["sha256"])).read_bytes())


def _summary(manifest: Manifest) -> ReleaseSummary:
    return ReleaseSummary(
        organ=manifest.organ,
        number=manifest.number,
        created=manifest.created,
        preset=manifest.preset,
        image_px=manifest.backbone.image_px,
        patch_um=manifest.backbone.patch_um,
        weights_bytes=manifest.weights_bytes,
        weights_sha256=manifest.weights_sha256,
        summary=manifest.summary,
    )
