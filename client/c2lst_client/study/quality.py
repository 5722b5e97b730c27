"""The study's part on pictures: how alike generated and real patches are, and what tissue they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from c2lst_client.evaluate.cell_types import CellTypes, compare_cell_types
from c2lst_client.evaluate.composition import Composition, compare_composition
from c2lst_client.evaluate.image_quality import FeatureSets, ImageQuality, quality_of_features
from c2lst_client.evaluate.results import Result
from c2lst_client.study.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 500  # patches of a kind that are encoded


class QualityPart(Result):
    """Generated against real patches of the held-out spots, between a floor and a ceiling."""

    image: ImageQuality
    composition: Composition
    cell_types: CellTypes | None  # None without weights of HoVer-Net


def measure_quality(subject: Subject, encoder: str | Path, hovernet: Path | None) -> tuple[QualityPart, dict[str, Figure]]:
    """Measure and draw the part.

    Args:
        subject: the division.
        encoder: "built-in", or where an encoder's configuration and weights lie.
        hovernet: weights of HoVer-Net (PanNuke), for cell types.

    Raises:
        BadInput: there are too few spots, or an encoder or weights cannot be used.
    """
    from c2lst_client.evaluate.encoders import load_encoder
    from c2lst_client.evaluate.hovernet import load_hovernet
    from c2lst_client.evaluate.shared_space import shared_space
    from c2lst_client.study import figures_composition, figures_quality

    real, generated = subject.real[:MOST], subject.generated[:MOST]
    unadapted = subject.unadapted(len(real))
    centres, um_per_px = subject.centres[:MOST], subject.um_per_px
    loaded = load_encoder(encoder)
    features = FeatureSets(*(loaded.encode(patches) for patches in (real, generated, unadapted)))
    image = quality_of_features(features, centres=centres, provenance=loaded.provenance)
    composition = compare_composition(
        real, generated, um_per_px=um_per_px, unadapted=unadapted, threshold=subject.threshold, centres=centres
    )
    types = None
    if hovernet is not None:
        typer = load_hovernet(hovernet)
        types = compare_cell_types(typer, real, generated, um_per_px=um_per_px, unadapted=unadapted, centres=centres)
    places = shared_space(*(each for each in features if each is not None))
    drawn = {
        "examples": figures_quality.example_pairs(real, generated, patch_um=subject.patch_um),
        "quality": figures_quality.quality_dots(image),
        "shared_space": figures_quality.shared_space_scatter(
            dict(zip(("real", "generated", "unadapted"), places, strict=True))
        ),
        "composition": figures_composition.composition_panels(composition),
        "overlays": figures_composition.nuclei_overlays(real, generated, threshold=subject.threshold, um_per_px=um_per_px),
    }
    if types is not None:
        drawn["cell_types"] = figures_composition.value_panels(types.densities, types.limits)
    return QualityPart(image=image, composition=composition, cell_types=types), drawn
