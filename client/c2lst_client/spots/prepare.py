"""Prepared spots: every patch of a slide once, at the backbone's size and scale and in the release's colours.

What comes after (panel, split, adaptation, co-training) reads these two files and never the slide again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_client.spots.pair_files import matrix_digest
from c2lst_client.spots.pairs import PairSet, PairWriter, Pixels
from c2lst_client.spots.patch_stack import PatchStack
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadArtefact
from c2lst_shared.images.digest import image_digest
from c2lst_shared.presets import BackboneConfig
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

KIND = "prepared spots"
FIT_PX = 4096  # longer side of the mosaic of patches that their stain is fitted on
BATCH = 32  # patches normalised and written at a time
COARSE = 1.3  # times coarser than the backbone's pixels: from here on, patches are visibly blurred


@dataclass(frozen=True)
class PreparedSpots:
    """Spots with patches ready for training; a `Spots`, so panels and splits are made from it. S spots, G genes."""

    pairs: PairSet

    @classmethod
    def open(cls, folder: Path) -> PreparedSpots:
        """Open what `prepare_spots` wrote.

        Raises:
            BadInput: there is nothing, or it is not complete.
            BadArtefact: it is damaged, or is something else.
        """
        pairs = PairSet.open(folder)
        if pairs.provenance.get("kind") != KIND:
            raise BadArtefact(
                f"{folder} does not hold prepared spots but {pairs.provenance.get('kind')}; prepare spots elsewhere."
            )
        return cls(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def barcodes(self) -> list[str]:
        """S unique names."""
        return self.pairs.barcodes

    @property
    def genes(self) -> list[str]:
        """G unique names."""
        return self.pairs.genes

    @cached_property
    def counts(self) -> scipy.sparse.csr_matrix:
        """S x G raw counts, int32."""
        return self.pairs.counts

    @cached_property
    def centres(self) -> npt.NDArray[np.float64]:
        """S x 2: x, y of the spot's centre, in pixels of the slide."""
        return self.pairs.coords

    @property
    def um_per_px(self) -> float:
        """Scale of the slide."""
        return float(self.pairs.provenance["um_per_px"])

    @property
    def patch_um(self) -> float:
        """Side of a patch in micrometres."""
        return float(self.pairs.provenance["patch_um"])

    @property
    def notes(self) -> list[str]:
        """What reading and preparing assumed, in sentences for the user."""
        return list(self.pairs.provenance["notes"])

    @property
    def fingerprint(self) -> str:
        """Equal for equal spots, slide and settings."""
        return self.pairs.fingerprint

    def patches(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Pixels:
        """Return the stain-normalised patches of some spots, n x image_px x image_px x 3."""
        return self.pairs.patches(indices)


def prepare_spots(
    spots: SpotSet,
    backbone: BackboneConfig,
    stain: StainReference,
    folder: Path,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> PreparedSpots:
    """Cut every patch, give it the release's colours, and keep it with the raw counts.

    The same call again returns at once; a stopped one goes on where it was.

    Args:
        spots: as read.
        backbone: its `image_px` and `patch_um` set size and scale.
        stain: of the release; the slide is fitted once with the same method.
        folder: gets patches.h5 and expression.h5ad.
        progress: told of each patch.
        overwrite: replace what was prepared otherwise.

    Raises:
        BadInput: the folder holds spots prepared otherwise, or the slide's stain cannot be found.
    """
    progress = progress or Silent()
    with PairWriter(
        folder,
        barcodes=spots.barcodes,
        expression=spots.counts,
        genes=spots.genes,
        image_px=backbone.image_px,
        coords=spots.centres,
        provenance=_provenance(spots, backbone, stain),
        overwrite=overwrite,
    ) as writer:
        if writer.done < len(writer):
            _write_patches(spots, backbone, stain, writer, progress)
    return PreparedSpots.open(folder)


def _write_patches(
    spots: SpotSet, backbone: BackboneConfig, stain: StainReference, writer: PairWriter, progress: Progress
) -> None:
    from c2lst_shared.images.stain import fit_slide, normalise

    progress.start("Stain-normalising patches", len(writer), done=writer.done)
    # Stored patches cannot be read in blocks that span several of them: their mosaic can.
    slide = spots.slide.overview(FIT_PX)[0] if isinstance(spots.slide, PatchStack) else spots.slide
    slide_stain = fit_slide(slide, stain.method)
    while writer.done < len(writer):
        batch = range(writer.done, min(writer.done + BATCH, len(writer)))
        patches = np.stack([spots.patch(index, backbone.patch_um, backbone.image_px) for index in batch])
        writer.append(normalise(patches, slide_stain, stain))
        progress.advance(len(batch))


def _provenance(spots: SpotSet, backbone: BackboneConfig, stain: StainReference) -> dict[str, Any]:
    notes = list(spots.notes)
    target = backbone.patch_um / backbone.image_px
    if spots.um_per_px > COARSE * target:
        notes.append(
            f"The image has {spots.um_per_px:.2f} um/px and the backbone works at {target:.2f}: patches are blurred; "
            "use the full-resolution image if there is one."
        )
    return {
        "kind": KIND,
        "source": spots.source,
        "um_per_px": spots.um_per_px,
        "image_px": backbone.image_px,
        "patch_um": backbone.patch_um,
        "stain": stain.model_dump(mode="json"),
        "image_sha256": image_digest(spots.slide.path),
        "counts_sha256": matrix_digest(spots.counts),
        "notes": notes,
    }
