"""What, beside the images, decides which tiles a corpus holds and how they look."""

from __future__ import annotations

from c2lst_shared.images.stain import Method
from c2lst_shared.presets import Config


class CorpusSettings(Config):
    """All choices that were made for a corpus."""

    image_px: int
    patch_um: float
    um_per_px: float | None  # of all images; None: as each says
    overlap: float
    min_tissue: float
    quality_filter: bool
    stain_method: Method
    reference_sha256: str | None  # of the image that gives the stain; None: chosen among the slides
    seed: int
