"""What a release that is here says about itself, to be shown; whoever uses one loads it verified (`trust/pull.py`)."""

from __future__ import annotations

from c2lst_client.home import Home
from c2lst_shared.errors import BadArtefact
from c2lst_shared.release.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, parse_manifest


def read_card(home: Home, organ: str, number: int) -> Manifest | None:
    """Return the manifest of a pulled release; None when it is not here or cannot be read."""
    try:
        with (home.release(organ, number) / MANIFEST).open("rb") as file:
            return parse_manifest(file.read(MAX_MANIFEST_BYTES + 1))
    except (OSError, BadArtefact):
        return None
