"""The central pipeline from slides to tiles: tiles per second with one process and with two, and memory as tiles grow.

    python benchmarks/tiles.py IMAGES [--um-per-px 0.69] [--preset small] [--repeats 3] [--json]
    python benchmarks/tiles.py --growth

A build is all of it: digests, survey, stain fit, quality, duplicates, cutting, normalising, writing. `--growth` builds corpora
of 1,000, 10,000 and 100,000 made-up tiles from tar shards, each in a process of its own, and prints what that process took.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import paired

from c2lst_server.tiles.build import Origin, build_corpus, origin_of
from c2lst_server.tiles.merge import merge
from c2lst_server.tiles.parts import build_part
from c2lst_shared.presets import get_preset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

GROWTH = (1_000, 10_000, 100_000)  # tiles
PER_SLIDE = 500
TILE_PX, UM_PER_PX = 64, 2.75


def of_slides(workers: int, *, sharded: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        origin = origin_of(given.images, backbone=get_preset(given.preset).backbone, um_per_px=given.um_per_px)

        def work() -> int:
            with tempfile.TemporaryDirectory() as scratch:
                if not sharded:
                    return build_corpus(origin, Path(scratch), workers=workers).record.count
                build_part(origin, Path(scratch), 0, 1, workers=workers)
                return merge(Path(scratch)).record.count

        return work

    return prepare


CASES = {
    "one process": of_slides(1),
    "two processes": of_slides(2),
    "two processes, WebDataset shards": of_slides(2, sharded=True),
}


def shards_of(folder: Path, tiles: int) -> Origin:
    """Write tar shards of made-up tiles, no two of them alike."""
    import numpy as np
    from fakes.small_site import h_and_e
    from PIL import Image

    rng = np.random.default_rng(0)
    for slide in range(tiles // PER_SLIDE):
        pixels = np.pad(h_and_e(slide), ((64, 64), (64, 64), (0, 0)), mode="reflect")
        with tarfile.open(folder / f"S{slide:04}.tar", "w") as archive:
            for number in range(PER_SLIDE):
                y, x = rng.integers(0, pixels.shape[0] - TILE_PX), rng.integers(0, pixels.shape[1] - TILE_PX)
                noisy = pixels[y : y + TILE_PX, x : x + TILE_PX].astype(np.int16) + rng.integers(-8, 9, (TILE_PX, TILE_PX, 1))
                buffer = io.BytesIO()
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
                member = tarfile.TarInfo(f"S{slide:04}_{number}.jpg")
                member.size = buffer.tell()
                archive.addfile(member, io.BytesIO(buffer.getvalue()))
    return origin_of(folder, backbone=get_preset("tiny").backbone, um_per_px=UM_PER_PX)


def grown(folder: Path) -> dict[str, float]:
    """Build a corpus of shards in this process."""
    origin = origin_of(folder, backbone=get_preset("tiny").backbone, um_per_px=UM_PER_PX)
    before, began = paired.peak(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        count = build_corpus(origin, Path(scratch)).record.count
        seconds = time.perf_counter() - began
    return {"kept": count, "seconds": seconds, "before_mib": before, "peak_mib": paired.peak()}


def growth(given: argparse.Namespace) -> None:
    rows = []
    for tiles in GROWTH:
        with tempfile.TemporaryDirectory() as folder:
            shards_of(Path(folder), tiles)
            words = [sys.executable, __file__, "--grown", folder]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            rows.append({"tiles": tiles} | json.loads(done.stdout.splitlines()[-1]))
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'tiles':>9}{'kept':>9}{'seconds':>10}{'ms a tile':>11}{'peak MiB':>10}")
    for row in rows:
        ms = 1000 * row["seconds"] / row["tiles"]
        print(f"{row['tiles']:>9}{row['kept']:>9}{row['seconds']:>10.1f}{ms:>11.2f}{row['peak_mib']:>10.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="?", help="folder of slides")
    parser.add_argument("--um-per-px", type=float)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--growth", action="store_true", help="memory and time as made-up tiles grow")
    parser.add_argument("--grown", type=Path, help=argparse.SUPPRESS)
    known, _ = parser.parse_known_args()
    if known.grown:
        print(json.dumps(grown(known.grown)))
    elif known.growth:
        parser.add_argument("--json", action="store_true")
        growth(parser.parse_args())
    elif known.images is None:
        parser.error("give a folder of slides, or --growth")
    else:
        paired.main("central pipeline", CASES, "tiles", parser, __file__)
