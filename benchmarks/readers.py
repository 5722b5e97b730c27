"""One real slide in every format that the client reads: is each read, is it the same slide, in what memory and time?

    python benchmarks/readers.py [mob|her2st] [--repeats 3] [--json]

The slide lies under C2LST_DATA. It is written with the libraries of the field (anndata, h5py, zarr, pyarrow, tifffile,
Pillow) in the layouts that the tests know; all images but the JPEG are lossless copies of it, so pixels must be equal. Each
reading runs in a process of its own, in turn: once for the memory, which also loads the libraries, and once for the time.
Reading means the checked spots and all their patches. The last row repeats the tissue to 40,000 x 40,000 px.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import paired

from c2lst_client.spots.read import read_spots
from c2lst_client.spots.spotset import SpotSet

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.hest_site import write_hest, write_spatialdata
from fakes.real_data import DATA
from fakes.small_site import SmallSite
from fakes.tiffs import write_jpeg_tiles, write_ome, write_pyramid

PATCH_PX = 48  # of the slide; within the 56 px of the patches that `write_hest` cuts
BIG_SIDE, PATTERN_PX = 40_000, 320  # the second divides the first
LEVELS = (1, 4, 16)
LEGACY, LARGE = "legacy ST, JPEG", "legacy ST, 40,000 x 40,000 px tiled pyramidal TIFF"


@dataclass
class Files:
    """What `read_spots` is given."""

    path: Path
    um_per_px: float
    image: Path | None = None


@dataclass
class Reading:
    """What a process found; with `error` it found nothing."""

    error: str = ""
    spots: str = ""  # digest of barcodes, genes, counts, positions and scale
    pixels: list[str] = field(default_factory=list)  # digest of each patch
    peak_mib: float = 0.0
    seconds: float = 0.0


def write_all(site: str, folder: Path) -> dict[str, Files]:
    """Write the slide in every format below `folder`; the first is the original."""
    original = DATA / site / "site"
    found = read_spots(original)
    scale, pixels = found.um_per_px, found.slide.overview(max(found.slide.size))[0]
    slide = SmallSite(found.centres, found.counts.toarray(), found.genes, found.barcodes, pixels)
    pyramid = write_pyramid(folder / "pyramid.tif", pixels)
    ome = write_ome(folder / "S1.ome.tif", pixels, scale)
    png = slide.write_image(folder)
    table = next(path for path in original.iterdir() if path.name.endswith(".tsv.gz"))

    def linked(target: Path) -> Path:
        target.unlink(missing_ok=True)
        target.hardlink_to(pyramid)
        return target

    def ranger(name: str, **layout: object) -> Files:
        return Files(slide.write_space_ranger(folder / name, **layout), scale, folder / name / "S1.png")

    def hest_slide() -> Path:
        root = write_hest(slide, folder / "hest_wsi", patches=False)
        linked(root / "wsis" / "S1.tif")
        return root

    def beside() -> Path:
        path = slide.write_h5ad(folder / "h5ad_beside")
        (path.parent / "S1.png").unlink()
        linked(path.parent / "S1.tif")
        return path

    return {
        LEGACY: Files(original, scale),
        "legacy ST, PNG": Files(table, scale, png),
        "legacy ST, tiled pyramidal TIFF": Files(table, scale, pyramid),
        "legacy ST, OME-TIFF": Files(table, scale, ome),
        "Space Ranger, h5 and csv, PNG": ranger("h5"),
        "Space Ranger, mtx and list, PNG": ranger("mtx", matrix="mtx", positions="tissue_positions_list.csv", header=False),
        "Space Ranger HD, h5 and parquet, PNG": ranger("hd", positions="tissue_positions.parquet", bin_um=16),
        "HEST, st and patches": Files(write_hest(slide, folder / "hest_patches"), scale),
        "HEST, st and wsis, tiled pyramidal TIFF": Files(hest_slide(), scale),
        "AnnData, tiled pyramidal TIFF beside it": Files(beside(), scale),
        "AnnData with its image": Files(slide.write_h5ad(folder / "h5ad", hires=1.0), scale),
        "SpatialData, Zarr 2": Files(write_spatialdata(slide, folder / "v2.zarr", zarr_format=2), scale),
        "SpatialData, Zarr 3": Files(write_spatialdata(slide, folder / "v3.zarr", zarr_format=3), scale),
        LARGE: large(table, slide, scale, folder / "large"),
    }


def large(table: Path, slide: SmallSite, scale: float, folder: Path) -> Files:
    """Return a slide of `BIG_SIDE` with the same spots, spread over it; its image repeats the middle of the tissue."""
    folder.mkdir()
    x, y = np.median(slide.centres, axis=0).astype(int) - PATTERN_PX // 2
    pattern = np.ascontiguousarray(slide.pixels[y : y + PATTERN_PX, x : x + PATTERN_PX])
    image = write_jpeg_tiles(folder / "large.tif", pattern, BIG_SIDE, LEVELS)
    enlarged = BIG_SIDE / max(slide.pixels.shape)
    spread = SmallSite(slide.centres * enlarged, slide.counts, slide.genes, slide.barcodes, pattern)
    spread.write_legacy(folder)
    (folder / "S1.png").unlink()
    return Files(folder, scale / enlarged, image)


def measured(files: Files) -> Reading:
    """Read twice; the second time counts."""
    try:
        spots = read_spots(files.path, files.image, files.um_per_px)
        pixels = patches(spots)
    except Exception as error:  # a row of the table
        return Reading(error=f"{type(error).__name__}: {error}")
    peak = paired.peak()
    content = digest_of(spots)
    del spots
    began = time.perf_counter()
    patches(read_spots(files.path, files.image, files.um_per_px))
    return Reading("", content, pixels, peak, time.perf_counter() - began)


def patches(spots: SpotSet) -> list[str]:
    """Cut all of them; the digest of each."""
    return [hashlib.sha256(patch.tobytes()).hexdigest()[:16] for patch in spots.patches(PATCH_PX * spots.um_per_px, PATCH_PX)]


def digest_of(spots: SpotSet) -> str:
    """Digest all but the picture, the source and the notes."""
    counts = spots.counts.sorted_indices()
    parts: list[bytes] = [json.dumps([spots.barcodes, spots.genes, f"{spots.um_per_px:.9g}"]).encode()]
    parts += [np.ascontiguousarray(array, np.int64).tobytes() for array in (counts.data, counts.indices, counts.indptr)]
    parts.append(np.round(spots.centres, 6).tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def in_own_process(files: Files) -> Reading:
    words = [sys.executable, __file__, "--read", str(files.path), repr(files.um_per_px)]
    words += [str(files.image)] if files.image else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Reading(error=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return Reading(**json.loads(done.stdout.splitlines()[-1]))


def rows_of(turns: list[dict[str, Reading]]) -> list[dict[str, object]]:
    """Medians over the turns; what is compared is the first turn's."""
    first = turns[0][LEGACY]

    def row(name: str) -> dict[str, object]:
        one = turns[0][name]
        equal = sum(ours == theirs for ours, theirs in zip(one.pixels, first.pixels, strict=False))
        return {
            "format": name,
            "reads": not one.error,
            "error": one.error,
            "same_spots": None if name == LARGE else one.spots == first.spots,
            "equal_patches": None if name == LARGE else f"{equal}/{len(first.pixels)}",
            "peak_mib": statistics.median(turn[name].peak_mib for turn in turns),
            "times_legacy": statistics.median(turn[name].seconds / turn[LEGACY].seconds for turn in turns),
            "seconds": statistics.median(turn[name].seconds for turn in turns),
        }

    return [row(name) for name in turns[0]]


def said(value: object) -> str:
    return {None: "-", True: "yes", False: "no"}.get(value, str(value))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("site", nargs="?", default="mob", choices=["mob", "her2st"])
    arguments.add_argument("--repeats", type=int, default=3, help="turns; the median counts")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.read:
        path, scale, *image = given.read
        print(json.dumps(vars(measured(Files(Path(path), float(scale), Path(image[0]) if image else None)))))
        return
    if not (DATA / given.site / "site").is_dir():
        sys.exit(f"There is no {given.site}/site in {DATA}; set C2LST_DATA to the folder with real tissue.")
    with tempfile.TemporaryDirectory() as scratch:
        print("writing ...", file=sys.stderr)
        files = write_all(given.site, Path(scratch))
        turns = []
        for number in range(given.repeats):
            print(f"turn {number + 1} of {given.repeats} ...", file=sys.stderr)
            turns.append({name: in_own_process(one) for name, one in files.items()})
    rows = rows_of(turns)
    if given.json:
        print(json.dumps({"site": given.site, "machine": paired.machine(), "rows": rows}, indent=1))
        return
    print(f"{given.site}; {paired.machine()}; median of {given.repeats} turns")
    print(f"{'':<52}{'reads':>7}{'spots':>7}{'patches':>9}{'peak MiB':>10}{'times legacy':>14}{'seconds':>9}")
    for row in rows:
        print(
            f"{row['format']:<52}{said(row['reads']):>7}{said(row['same_spots']):>7}{said(row['equal_patches']):>9}"
            f"{row['peak_mib']:>10.0f}{row['times_legacy']:>14.2f}{row['seconds']:>9.2f}  {row['error']}"
        )


if __name__ == "__main__":
    main()
