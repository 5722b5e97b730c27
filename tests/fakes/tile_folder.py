"""Made-up central images: slides, and trees of ready-made tiles cut from them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from fakes.small_site import h_and_e

SCALE = 2.75


def write_slides(folder: Path, count: int, side: int = 320) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(h_and_e(number)[:side, :side]).save(folder / f"slide_{number}.png", compress_level=1)
    return folder


def write_tiles(folder: Path, slides: int = 3, per_slide: int = 12, px: int = 64) -> Path:
    """ORGAN/CLASS/S1_x_y.png: the tiles of one slide lie in both classes."""
    for slide in range(slides):
        pixels = h_and_e(slide)
        for number in range(per_slide):
            x, y = 100 + 70 * (number % 4), 100 + 70 * (number // 4)
            path = folder / "breast" / ("tumour" if number % 2 else "stroma") / f"S{slide}_{x}_{y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[y : y + px, x : x + px]).save(path)
    return folder
