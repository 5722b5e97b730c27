"""A made-up site for tests of the client: a 600 x 600 px slide that looks like H&E, with 49 spots and a few genes.

Tissue is a rounded square; nuclei are denser towards the right, and the gene `Dense` is expressed with them. Written in every
layout that the readers know, so that a test changes one thing and reads.
"""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse
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

    def write_space_ranger(
        self,
        folder: Path,
        *,
        matrix: str = "h5",
        positions: str = "tissue_positions.csv",
        header: bool = True,
        hires: float = 0.5,
        bin_um: int | None = None,
        off_tissue: int = 0,
        kinds: dict[str, str] | None = None,
    ) -> Path:
        """Write `folder/outs` as Space Ranger does and, beside it, the full-resolution image; return `outs`.

        `matrix` is `h5` or `mtx`; `bin_um` writes Visium HD bins into `outs/binned_outputs`; the first `off_tissue` spots are
        marked so; `kinds` are the types of features that are no genes.
        """
        self.write_image(folder)
        outs = folder / "outs"
        here = outs if bin_um is None else outs / "binned_outputs" / f"square_{bin_um:03d}um"
        spatial = here / "spatial"
        spatial.mkdir(parents=True, exist_ok=True)
        features = [
            (f"ENSG{number:011d}", gene, (kinds or {}).get(gene, "Gene Expression")) for number, gene in enumerate(self.genes)
        ]
        by_barcode = scipy.sparse.csr_matrix(self.counts)
        if matrix == "h5":
            write_10x_h5(here / "filtered_feature_bc_matrix.h5", by_barcode, features, self.barcodes)
        else:
            write_10x_mtx(here / "filtered_feature_bc_matrix", by_barcode, features, self.barcodes)
        flags = [int(row >= off_tissue) for row in range(len(self.barcodes))]
        write_10x_positions(spatial / positions, self.barcodes, flags, self.centres, header)
        um_per_px = (bin_um or 100) / PITCH_PX
        factors = {
            "tissue_hires_scalef": hires,
            "tissue_lowres_scalef": hires / 3,
            "fiducial_diameter_fullres": 144 / um_per_px,
        }
        factors["spot_diameter_fullres"] = (bin_um or 65) / um_per_px
        if bin_um is not None:
            factors |= {"bin_size_um": float(bin_um), "microns_per_pixel": um_per_px}
        (spatial / "scalefactors_json.json").write_text(json.dumps(factors))
        width, height = (max(round(side * hires), 1) for side in self.pixels.shape[1::-1])
        Image.fromarray(self.pixels).resize((width, height)).save(spatial / "tissue_hires_image.png", compress_level=1)
        return outs


def write_10x_h5(
    path: Path, counts: scipy.sparse.csr_matrix, features: list[tuple[str, str, str]], barcodes: list[str]
) -> None:
    """`counts` is barcodes x features; the file says features x barcodes, compressed by column, which is the same."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array([name.encode() for name in barcodes])
        for name, type_ in (("data", np.int32), ("indices", np.int64), ("indptr", np.int64)):
            values = getattr(counts, name)
            whole = values.dtype.kind in "iu" or (values == np.rint(values)).all()
            group.create_dataset(name, data=values.astype(type_) if whole else values, compression="gzip", compression_opts=1)
        group["shape"] = np.array(counts.shape[::-1], np.int32)
        for column, key in enumerate(("id", "name", "feature_type")):
            group[f"features/{key}"] = np.array([feature[column].encode() for feature in features])
        group["features/genome"] = np.array([b"GRCh38"] * len(features))
        group["features/_all_tag_keys"] = np.array([b"genome"])


def write_10x_mtx(
    folder: Path, counts: scipy.sparse.csr_matrix, features: list[tuple[str, str, str]], barcodes: list[str]
) -> None:
    """The three text files; Space Ranger's own header, a comment with JSON included."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = counts.tocoo()
    head = '%%MatrixMarket matrix coordinate integer general\n%metadata_json: {"software_version": "spaceranger"}\n'
    lines = [f"{counts.shape[1]} {counts.shape[0]} {entries.nnz}\n"]
    lines += [
        f"{feature + 1} {barcode + 1} {format_number(value)}\n"
        for barcode, feature, value in zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
    ]
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress((head + "".join(lines)).encode(), 1))
    (folder / "features.tsv.gz").write_bytes(gzip.compress("".join("\t".join(row) + "\n" for row in features).encode(), 1))
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress("".join(f"{name}\n" for name in barcodes).encode(), 1))


def write_10x_positions(
    path: Path, barcodes: list[str], in_tissue: list[int], centres: npt.NDArray[np.float64], header: bool
) -> None:
    """Rows before columns, so y before x."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": in_tissue,
            "array_row": range(len(barcodes)),
            "array_col": range(len(barcodes)),
            "pxl_row_in_fullres": centres[:, 1],
            "pxl_col_in_fullres": centres[:, 0],
        }
    )
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, header=header)


def format_number(value: float) -> str:
    """As tables have it: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else str(value)
