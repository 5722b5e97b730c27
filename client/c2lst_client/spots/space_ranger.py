"""10x Genomics Visium and Visium HD, as Space Ranger leaves them in its folder `outs`.

    outs/  filtered_feature_bc_matrix.h5 (or the folder of that name)
           spatial/  scalefactors_json.json, tissue_hires_image.png, and the positions
           binned_outputs/square_016um/  (Visium HD) the same three again for each size of bin

Positions are in pixels of the full-resolution image, which is not in `outs` and is given apart. Without it the hires image
is used, which is a small copy.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from c2lst_client.spots.checks import Centres, Found
from c2lst_client.spots.scale import AGREEMENT, pitch_px
from c2lst_client.spots.space_ranger_matrix import MATRIX_FOLDER, MATRIX_H5, Matrix, read_matrix
from c2lst_client.spots.space_ranger_spatial import SCALE_FACTORS, ScaleFactors, read_positions, read_scale_factors
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide

OUTS, SPATIAL, BINNED = "outs", "spatial", "binned_outputs"
BIN_FOLDERS, DEFAULT_BIN = "square_*um", "square_016um"
HIRES_IMAGE = "tissue_hires_image.png"
GENES = "Gene Expression"  # the feature type that is kept
ROUNDING_PX = 2.0  # how much a side of the hires image may differ from the full-resolution one's, scaled


def recognises(path: Path) -> bool:
    """Say whether `path` is `outs`, its parent, the folder of one size of bins, or a matrix inside one of these."""
    return _run_folder(path) is not None


def read(path: Path, image: Path | None, um_per_px: float | None, _image_folder: Path | None) -> Found:
    """Read a slide that Space Ranger analysed, unchecked; nothing is written.

    Args:
        path: `outs`, its parent, `binned_outputs/square_XXXum`, or the matrix in one of them.
        image: the full-resolution image that Space Ranger was given, or a resized copy; the hires image when not given.
        um_per_px: scale of the image used, as the user says.

    Raises:
        BadInput: a part is missing, or cannot be read as what it should be; the image has another shape.
    """
    notes: list[str] = []
    folder = _run_folder(path)
    if folder is None:
        raise BadInput(f"{path} holds no output of Space Ranger; give its folder {OUTS}.")
    folder = _bin_folder(folder, notes)
    factors = read_scale_factors(folder / SPATIAL)
    spot_barcodes, centres, spots_from = read_positions(folder / SPATIAL, notes)
    slide, scale = _choose_image(folder / SPATIAL, image, factors.hires, notes)
    matrix = read_matrix(folder)
    genes = _gene_columns(matrix, notes)
    centres = centres * scale
    _cross_check(centres, factors, scale, um_per_px, notes)
    if factors.bin_um is not None:
        notes.append(f"Bins of {factors.bin_um:g} um lie closer than a patch is wide: patches of neighbouring bins overlap.")
    kind = "Visium" if factors.bin_um is None else f"Visium HD, bins of {factors.bin_um:g} um"
    return Found(
        counts=matrix.counts if len(genes) == len(matrix.kinds) else matrix.counts[:, genes],
        count_barcodes=matrix.barcodes,
        genes=[matrix.symbols[column] for column in genes],
        gene_ids=[matrix.ids[column] for column in genes],
        spot_barcodes=spot_barcodes,
        centres=centres,
        slide=slide,
        source=f"Space Ranger ({kind}; {matrix.path.name}, {spots_from}, image {slide.path.name})",
        counts_from=matrix.path.name,
        spots_from=spots_from,
        pitch_um=factors.pitch_um,
        um_per_px=um_per_px,
        notes=notes,
    )


def _run_folder(path: Path) -> Path | None:
    """Return the folder that holds `spatial` or `binned_outputs`, or None if `path` leads to none."""
    parts = (MATRIX_H5, MATRIX_FOLDER, BINNED, f"{SPATIAL}/{SCALE_FACTORS}")
    inside = path.parent if path.name in parts else path
    for folder in (inside, inside / OUTS):
        if any((folder / part).exists() for part in parts):
            return folder
    return None


def _bin_folder(outs: Path, notes: list[str]) -> Path:
    """Return the folder of the default size of bins on Visium HD, and `outs` itself on Visium."""
    if not (outs / BINNED).is_dir():
        return outs
    names = sorted(folder.name for folder in (outs / BINNED).glob(BIN_FOLDERS) if folder.is_dir())
    if not names:
        raise BadInput(f"{outs / BINNED} holds no bins; copy {BINNED}/{DEFAULT_BIN} from Space Ranger's outs.")
    chosen = DEFAULT_BIN if DEFAULT_BIN in names else names[-1]
    others = [name for name in names if name != chosen]
    if others:
        notes.append(f"{chosen} is read; give the path of {' or '.join(others)} in {BINNED} for other bins.")
    return outs / BINNED / chosen


def _choose_image(spatial: Path, image: Path | None, hires_scale: float, notes: list[str]) -> tuple[Slide, float]:
    """Return the slide, and what positions are multiplied with to fit it."""
    hires = Slide(spatial / HIRES_IMAGE)
    if image is not None:
        slide = Slide(image)
        return slide, _scale_to(slide, hires, hires_scale, notes) if hires.path.is_file() else 1.0
    if not hires.path.is_file():
        raise BadInput(f"There is no {HIRES_IMAGE} in {spatial}; pass the full-resolution image with --image.")
    notes.append(
        f"{HIRES_IMAGE} is used, a coarse copy (scale factor {hires_scale:.4g}); pass the full-resolution image with --image "
        "for sharp patches."
    )
    return hires, hires_scale


def _scale_to(slide: Slide, hires: Slide, hires_scale: float, notes: list[str]) -> float:
    """Compare a given image with the hires image, which tells how large the full-resolution one is."""
    full = np.array(hires.size) / hires_scale
    if (np.abs(np.array(slide.size) - full) * hires_scale <= ROUNDING_PX).all():
        return 1.0
    ratios = np.array(slide.size) / full
    if abs(ratios[0] / ratios[1] - 1) > ROUNDING_PX / min(*hires.size, *slide.size):
        raise BadInput(
            f"{slide.path} has {slide.size[0]} x {slide.size[1]} px, but the image that Space Ranger was given has about "
            f"{full[0]:.0f} x {full[1]:.0f} (from {HIRES_IMAGE}); pass that image with --image."
        )
    ratio = float(ratios[int(np.argmax(full))])
    notes.append(f"{slide.path.name} is the full-resolution image resized by {ratio:.4g}; positions were scaled with it.")
    return ratio


def _gene_columns(matrix: Matrix, notes: list[str]) -> list[int]:
    kept = [column for column, kind in enumerate(matrix.kinds) if kind == GENES]
    others = sorted(set(matrix.kinds) - {GENES})
    if not kept:
        raise BadInput(
            f"{matrix.path} holds no feature of type {GENES!r} but {', '.join(others[:5]) or 'none'}; give gene counts."
        )
    if others:
        notes.append(f"{len(matrix.kinds) - len(kept)} features that are no genes are left out ({', '.join(others[:5])}).")
    return kept


def _cross_check(centres: Centres, factors: ScaleFactors, scale: float, given: float | None, notes: list[str]) -> None:
    """Note it when spots and scale factors disagree on the scale; the spots are believed, for patches are cut around them."""
    pitch = pitch_px(centres) if len(centres) > 1 else 0.0
    if not pitch > 0:
        return  # too few spots, or all at one place: what is checked later refuses these
    by_pitch, by_factors = factors.pitch_um / pitch, factors.um_per_px / scale
    if not math.isclose(by_pitch, by_factors, rel_tol=AGREEMENT):
        used = "the spot pitch" if given is None else "--um-per-px"
        notes.append(
            f"Warning: the spot pitch gives {by_pitch:.4g} um/px and {SCALE_FACTORS} {by_factors:.4g}; {used} is used. "
            "Check that both are of this slide."
        )
