"""A made-up site for tests of the client: a 600 x 600 px slide that looks like H&E, with 49 spots and a few genes.

Tissue is a rounded square; nuclei are denser towards the right, and the gene `Dense` is expressed with them. Written in every
layout that the readers know, so that a test changes one thing and reads.
"""

from __future__ import annotations

import functools
import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

SIDE = 600
PITCH_PX = 72.0  # 2.78 um/px on an array with 200 um
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.09, 0.95, 0.28])


@functools.cache
def h_and_e(seed: int = 0) -> npt.NDArray[np.uint8]:
    """The slide's pixels, 600 x 600 x 3."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = ((np.abs(rows - 300) / 285.0) ** 4 + (np.abs(columns - 300) / 285.0) ** 4) < 1
    seeds = rng.random((SIDE, SIDE)) < 0.004 + 0.016 * columns / SIDE
    nuclei = ndimage.gaussian_filter(ndimage.binary_dilation(seeds, iterations=2).astype(float), 0.8)
    texture = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 6)
    eosin = (0.55 + 1.2 * texture) * inside
    density = (1.5 * nuclei * inside)[..., None] * HAEMATOXYLIN + np.maximum(eosin, 0)[..., None] * EOSIN
    light = 243.0 * np.exp(-density) + rng.normal(0, 1.5, (SIDE, SIDE, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def grid_centres() -> npt.NDArray[np.float64]:
    """49 x 2: x, y in pixels."""
    ticks = 84.0 + PITCH_PX * np.arange(7)
    return np.array([(x, y) for y in ticks for x in ticks])


def grid_counts(genes: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """49 x genes; the first gene, `Dense`, follows the density of nuclei."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(1, 40, genes) * np.ones((49, 1))
    means[:, 0] = 10 + 60 * grid_centres()[:, 0] / SIDE
    return rng.poisson(means)


@dataclass
class SmallSite:
    """The content of a site's files; change a field, then write."""

    centres: npt.NDArray[np.float64] = field(default_factory=grid_centres)
    counts: npt.NDArray[np.float64 | np.int64] = field(default_factory=lambda: grid_counts(12))
    genes: list[str] = field(default_factory=lambda: ["Dense", *[f"Gene{number}" for number in range(1, 12)]])
    barcodes: list[str] = field(default_factory=lambda: [f"{x}x{y}" for y in range(2, 9) for x in range(2, 9)])
    pixels: npt.NDArray[np.uint8] = field(default_factory=h_and_e)
    name: str = "S1"

    def write_image(self, folder: Path) -> Path:
        path = folder / f"{self.name}.png"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.pixels).save(path, compress_level=1)
        return path

    def write_legacy(self, folder: Path, layout: str = "spots", separator: str = "\t", corner: bool = False) -> Path:
        """Write the three files of a legacy array; `layout` is `spots` or `selection`, `corner` a cell above the names."""
        self.write_image(folder)
        suffix = ".tsv" if separator == "\t" else ".csv"
        rows = [separator.join([*(["spot"] if corner else []), *self.genes])]
        prefix = "X" if layout == "spots" else ""
        rows += [
            separator.join([prefix + name, *[format_number(value) for value in row]])
            for name, row in zip(self.barcodes, self.counts.tolist(), strict=True)
        ]
        (folder / f"{self.name}{suffix}.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n").encode(), 1))
        if layout == "spots":
            lines = [["spot", "pixel_x", "pixel_y"]]
            lines += [[f"X{name}", f"{x}", f"{y}"] for name, (x, y) in zip(self.barcodes, self.centres, strict=True)]
        else:
            lines = [["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"]]
            for name, (x, y) in zip(self.barcodes, self.centres, strict=True):
                column, row = name.split("x")
                lines.append([column, row, f"{column}.01", f"{row}.02", f"{x}", f"{y}", "1"])
        text = "".join(separator.join(line) + "\n" for line in lines)
        (folder / f"{self.name}_{layout}{suffix}").write_text(text)
        return folder

    def write_h5ad(self, folder: Path, *, hires: float | None = None, spatial: bool = True) -> Path:
        """Write an `.h5ad`; with `hires` it carries the slide in `uns`, and positions are in pixels 1 / hires times larger."""
        import anndata
        import pandas as pd
        import scipy.sparse

        folder.mkdir(parents=True, exist_ok=True)
        data = anndata.AnnData(
            X=scipy.sparse.csr_matrix(self.counts.astype(np.float32)),
            obs=pd.DataFrame(index=self.barcodes),
            var=pd.DataFrame(index=self.genes),
        )
        if spatial:
            data.obsm["spatial"] = self.centres / (hires or 1.0)
        if hires is None:
            self.write_image(folder)
        else:
            image = (self.pixels / 255.0).astype(np.float32)
            factors = {"tissue_hires_scalef": hires, "spot_diameter_fullres": 0.65 * PITCH_PX / hires}
            data.uns["spatial"] = {"library": {"images": {"hires": image}, "scalefactors": factors}}
        path = folder / f"{self.name}.h5ad"
        data.write_h5ad(path)
        return path


def format_number(value: float) -> str:
    """As tables have it: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else str(value)
