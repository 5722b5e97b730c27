"""The study as one HTML page, in the design of the site's report: offline, without a script."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from c2lst_client.arms import length_label
from c2lst_client.report import words
from c2lst_client.report.charts import data_uri
from c2lst_client.report.templates import environment
from c2lst_client.report.theme import page_style
from c2lst_client.study import figures
from c2lst_client.study.design import AUGMENTED, REAL, Division, best_arms
from c2lst_client.study.results import Control, StudyResult
from c2lst_shared import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "study.html.j2"
DPI, CSS_DPI = 144, 96


class Embedded(NamedTuple):
    """A picture inside a page."""

    uri: str
    width: int  # CSS pixels that it is made for


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> dict[str, Path]:
    """Write figures as PNG files; return where each is."""
    paths = {}
    for name, figure in figures.items():
        paths[name] = folder / f"{name}.png"
        with atomic.replacing(paths[name]) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)
    return paths


def write_study_page(path: Path, result: StudyResult, figures: Mapping[str, Path]) -> None:
    """Write the page to `path`, whole or not at all; `figures` are PNG files that it takes in."""
    pictures = {name: _embedded(file) for name, file in figures.items()}
    atomic.write_text(path, study_page(result, datetime.now(UTC), pictures))


def study_page(result: StudyResult, created: datetime, pictures: Mapping[str, Embedded]) -> str:
    """Return the page as one HTML document that needs no other file, no network and no script."""
    design = result.design
    plain, both = best_arms(design)
    common = design.arms(Division("random", -1.0, 0))
    template = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    return (
        environment()
        .from_string(template)
        .render(
            result=result,
            created=created,
            pictures=pictures,
            words=words,
            css=page_style(),
            primary=_change(result.controls, both, AUGMENTED),
            as_long=_change(result.controls, both, length_label(AUGMENTED, design.predictor.steps)),
            plain=_change(result.controls, plain, REAL),
            main=next(
                each for each in result.divisions if (each.method, each.fraction, each.seed) == ("random", design.main, 0)
            ),
            blocked=next(each for each in result.divisions if (each.method, each.seed) == ("blocked", 0)),
            both=both,
            errors={each.label: {arm.label: arm.mae.value for arm in each.arms} for each in result.divisions},
            efficiency=figures.efficiency_chart(result.efficiency, common),
            gain=figures.gain_chart(result.efficiency, both),
            ratios=figures.ratio_chart(result.ratios),
            controls=figures.control_chart(result.controls),
        )
    )


def _embedded(path: Path) -> Embedded:
    from PIL import Image

    with Image.open(path) as image:
        return Embedded(data_uri("image/png", path.read_bytes()), round(image.width * CSS_DPI / DPI))


def _change(controls: list[Control], arm: str, against: str) -> Control:
    return next(each for each in controls if (each.method, each.arm, each.against) == ("random", arm, against))
