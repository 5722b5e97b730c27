"""A stand-in for real tissue: central slides without counts and one site slide with spots, whose truth is known.

Three kinds of planted genes drive the density of nuclei, their size and the share of stroma; all other genes are steady
or noise. So a demo without data has something to find, and a test can ask whether it was found.

`make_phantom`, or `python -m c2lst_demo.phantom FOLDER`, writes the layout of a real data folder::

    central/slide_1.png ...       H&E only
    site/phantom.png              the site's slide
    site/phantom.tsv.gz           raw counts, spots x genes; a spot is named by its array coordinates, X16x9.015
    site/phantom_spots.tsv        spot, pixel_x, pixel_y
    truth.json                    what was planted: fields per spot, genes and their drivers (written last)
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from c2lst_demo.tissue import Fields, Stain, make_fields, paint
from c2lst_shared import atomic
from c2lst_shared.console import run

TRUTH = "truth.json"
PITCH_UM = 200.0  # between spots, as on the legacy arrays
SPOT_UM = 176.0  # side of the square over which a spot feels the fields
MIN_TISSUE = 0.85  # share of that square that must be tissue
GENES_PER_DRIVER = 12
STEADY_GENES = 24
FAINT_GENES = 140
DISPERSION = 12.0  # negative binomial: variance = mean + mean^2 / dispersion
LIBRARY_SPREAD = 0.3  # standard deviation of the logarithm of a spot's capture efficiency


class Sizes(TypedDict, total=False):
    """How much of a phantom is painted."""

    central_slides: int
    central_um: float
    site_um: float


SMALL: Sizes = {"central_slides": 1, "central_um": 1500, "site_um": 2400}  # painted in seconds

Driver = Literal["density", "size", "stroma"]
DRIVERS: tuple[Driver, ...] = ("density", "size", "stroma")
Values = npt.NDArray[np.float64]


class PlantedGene(BaseModel):
    """One gene and what it does."""

    model_config = ConfigDict(extra="forbid")

    name: str
    driver: Driver | None  # None: nothing in the picture depends on it
    effect: float  # change of log expression per standard deviation of the driver; its sign says which way
    mean: float  # counts per spot, before spots differ


class PlantedSpot(BaseModel):
    """One spot and the fields around it, each 0-1."""

    model_config = ConfigDict(extra="forbid")

    name: str
    x: float  # pixels
    y: float
    density: float
    size: float
    stroma: float


class Truth(BaseModel):
    """Everything that a phantom knows and a site would not."""

    model_config = ConfigDict(extra="forbid")

    seed: int
    um_per_px: float
    genes: list[PlantedGene]
    spots: list[PlantedSpot]


def make_phantom(
    folder: Path,
    seed: int = 1,
    *,
    um_per_px: float = 2.75,
    central_slides: int = 4,
    central_um: float = 4400.0,
    site_um: float = 3850.0,
) -> Truth:
    """Write a phantom into `folder` and return its truth; the same arguments give the same files.

    Args:
        folder: made when missing; files of an earlier phantom are replaced.
        seed: of everything that is drawn.
        um_per_px: scale of all slides.
        central_slides: how many slides without counts.
        central_um: side of a central slide, in micrometres.
        site_um: side of the site's slide, in micrometres.
    """
    stream = np.random.SeedSequence(seed)
    *central, site = (np.random.default_rng(child) for child in stream.spawn(central_slides + 1))
    for number, rng in enumerate(central, start=1):
        fields = make_fields(rng, _square(central_um, um_per_px), um_per_px)
        _save_slide(folder / "central" / f"slide_{number}.png", paint(rng, fields, _draw_stain(rng), um_per_px))
    fields = make_fields(site, _square(site_um, um_per_px), um_per_px)
    _save_slide(folder / "site" / "phantom.png", paint(site, fields, _draw_stain(site), um_per_px))
    truth = Truth(seed=seed, um_per_px=um_per_px, genes=_draw_genes(site), spots=_place_spots(fields, um_per_px))
    _save_counts(folder / "site" / "phantom.tsv.gz", truth, _draw_counts(site, truth))
    rows = [f"{spot.name}\t{spot.x:.2f}\t{spot.y:.2f}\n" for spot in truth.spots]
    atomic.write_text(folder / "site" / "phantom_spots.tsv", "spot\tpixel_x\tpixel_y\n" + "".join(rows))
    atomic.write_text(folder / TRUTH, truth.model_dump_json(indent=1))
    return truth


def _square(side_um: float, um_per_px: float) -> tuple[int, int]:
    side = round(side_um / um_per_px)
    return side, side


def _draw_stain(rng: np.random.Generator) -> Stain:
    """A laboratory's own mixture: hue, strength and lamp differ from slide to slide as they do between batches."""

    def near(vector: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        moved = np.clip(np.asarray(vector) + rng.uniform(-spread, spread, 3), 0.02, 1)
        red, green, blue = (moved / np.linalg.norm(moved)).tolist()
        return red, green, blue

    lamp = rng.uniform(236, 247)
    return Stain(
        haematoxylin=near((0.64, 0.70, 0.31), 0.06),
        eosin=near((0.14, 0.90, 0.40), 0.09),
        haematoxylin_strength=rng.uniform(1.4, 2.0),
        eosin_strength=rng.uniform(0.65, 1.05),
        background=(lamp + rng.uniform(-4, 2), lamp + rng.uniform(-4, 2), lamp + rng.uniform(-4, 2)),
    )


def _place_spots(fields: Fields, um_per_px: float) -> list[PlantedSpot]:
    """Spots of the array that lie on tissue, row by row. Array coordinate 1 is pixel 0, as on the real arrays."""
    side = max(round(SPOT_UM / um_per_px), 1)
    around = {name: ndimage.uniform_filter(getattr(fields, name), side) for name in ("tissue", *DRIVERS)}
    height, width = fields.shape
    pitch = PITCH_UM / um_per_px
    margin = SPOT_UM / um_per_px / 2
    spots = []
    for row in range(1, int((height - margin) / pitch) + 1):
        for column in range(1, int((width - margin) / pitch) + 1):
            x, y = round(column * pitch, 2), round(row * pitch, 2)
            at = (round(y), round(x))
            if around["tissue"][at] >= MIN_TISSUE:
                felt = {name: round(float(around[name][at]), 4) for name in DRIVERS}
                spots.append(PlantedSpot(name=f"X{column + 1}x{row + 1}", x=x, y=y, **felt))
    return spots


def _draw_genes(rng: np.random.Generator) -> list[PlantedGene]:
    """Planted genes are expressed well enough to enter any panel; of each driver's, a third fall where it rises."""
    genes = [
        PlantedGene(
            name=f"{driver.capitalize()}{number + 1:02}",
            driver=driver,
            effect=round(rng.uniform(0.4, 0.8) * (-1 if number % 3 == 2 else 1), 3),
            mean=round(rng.uniform(10, 60), 2),
        )
        for driver in DRIVERS
        for number in range(GENES_PER_DRIVER)
    ]
    means = {"Steady": rng.uniform(8, 80, STEADY_GENES), "Faint": np.clip(rng.lognormal(0.2, 0.9, FAINT_GENES), 0.05, 8)}
    for kind, values in means.items():
        for number, mean in enumerate(values, start=1):
            genes.append(PlantedGene(name=f"{kind}{number:03}", driver=None, effect=0.0, mean=round(mean, 2)))
    return genes


def _draw_counts(rng: np.random.Generator, truth: Truth) -> npt.NDArray[np.int64]:
    """Raw counts, spots x genes: negative binomial around each gene's mean, its driver and the spot's library size."""
    felt = {name: np.array([getattr(spot, name) for spot in truth.spots]) for name in DRIVERS}
    standard = {name: (values - values.mean()) / values.std() for name, values in felt.items()}
    library = rng.lognormal(0, LIBRARY_SPREAD, len(truth.spots))
    columns = []
    for gene in truth.genes:
        pull: Values | float = gene.effect * standard[gene.driver] if gene.driver else 0.0
        mean = gene.mean * library * np.exp(pull - gene.effect**2 / 2)
        columns.append(rng.negative_binomial(DISPERSION, DISPERSION / (DISPERSION + mean)))
    return np.stack(columns, axis=1)


def _save_slide(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    with atomic.replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4)


def _save_counts(path: Path, truth: Truth, counts: npt.NDArray[np.int64]) -> None:
    """The legacy table as R writes it: the header has no cell above the spot names."""
    lines = ["\t".join(gene.name for gene in truth.genes)]
    lines += ["\t".join([spot.name, *map(str, row)]) for spot, row in zip(truth.spots, counts.tolist(), strict=True)]
    atomic.write_bytes(path, gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))  # no clock in the file


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write it to.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed paints another phantom.")] = 1,
    small: Annotated[bool, typer.Option("--small", help="One small central slide, and a small slide with spots.")] = False,
) -> None:
    """Paint a phantom: stained tissue with planted genes, to try c2lst out without data."""
    truth = make_phantom(folder, seed, **(SMALL if small else {}))
    typer.echo(
        f"Painted {folder / 'central'}, and {folder / 'site'} with {len(truth.spots)} spots and {len(truth.genes)} genes."
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    run(app)
