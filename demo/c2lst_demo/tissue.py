"""Paints H&E-like tissue whose density of nuclei, size of nuclei and share of stroma are three smooth, known fields.

How a pixel comes about: the fields say how much of each structure there is at a place; nuclei (haematoxylin), cytoplasm
and collagen (eosin) are laid down as stain concentrations; Beer-Lambert's law turns concentrations into transmitted light;
the optics blur it a little and the camera adds noise. Lengths are micrometres until the last moment, so that the same
tissue can be painted at another scale. h, w: height and width in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from scipy.special import ndtr

Array = npt.NDArray[np.float32]

FIELD_UM = 420.0  # correlation length of the fields: about two spots, so that neighbours differ but a patch is uniform
NUCLEI_PER_MM2 = (500.0, 6500.0)  # at density 0 and 1
DIAMETER_UM = (5.6, 8.6)  # of a nucleus, at size 0 and 1
GRID_UM = 6.6  # nuclei are kept or dropped on a jittered grid of this step: two centres seldom come closer
CHUNK = 4_000_000  # pixels stamped at a time, to bound memory at fine scales


@dataclass(frozen=True)
class Stain:
    """How one slide was stained and scanned; vectors are optical density (natural logarithm) per unit of stain, R G B."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    haematoxylin_strength: float
    eosin_strength: float
    background: tuple[float, float, float]  # light through the empty slide, 0-255


@dataclass(frozen=True)
class Fields:
    """What drives the tissue, each h x w in [0, 1]; `tissue` is 1 inside, 0 outside, soft at the edge and at vessels."""

    density: Array
    size: Array
    stroma: Array
    tissue: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.tissue.shape
        return height, width


def make_fields(rng: np.random.Generator, shape: tuple[int, int], um_per_px: float) -> Fields:
    """Draw the fields of one slide of `shape` (height, width) pixels."""
    density, size, stroma = (_uniform(_noise(rng, shape, FIELD_UM / um_per_px)) for _ in range(3))
    vessels = _noise(rng, shape, 75 / um_per_px) + 0.05 * _noise(rng, shape, 14 / um_per_px)
    tissue = _section(rng, shape, um_per_px) * np.clip((2.9 - vessels) / 0.15, 0, 1)
    wall = np.clip((vessels - 2.3) / 0.2, 0, 1)
    return Fields(density, size, np.maximum(stroma, wall), tissue)


def paint(rng: np.random.Generator, fields: Fields, stain: Stain, um_per_px: float) -> npt.NDArray[np.uint8]:
    """Return the slide that shows `fields` in `stain`, h x w x 3 RGB."""
    stroma, fibres, direction = _collagen(rng, fields, um_per_px)
    nuclei = _nuclei(rng, fields, stroma, direction, um_per_px)
    grain = _noise(rng, fields.shape, 5.0 / um_per_px)
    patchy = _noise(rng, fields.shape, 70.0 / um_per_px)
    cytoplasm = 0.36 + 0.06 * grain + 0.06 * patchy
    clefts = np.clip(fibres / 0.08, 0.25, 1)  # bundles of collagen part a little and let light through
    collagen = clefts * (0.36 + 0.48 * fibres + 0.04 * grain)
    eosin = fields.tissue * ((1 - stroma) * cytoplasm + stroma * collagen)
    eosin *= 1 - 0.5 * np.clip(nuclei, 0, 1)
    blue = fields.tissue * (0.06 + 0.07 * (1 - stroma) * (0.4 + fields.density))  # RNA makes crowded cytoplasm bluish
    return _expose(rng, np.maximum(nuclei, blue), np.clip(eosin, 0, None), stain, um_per_px)


def _noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Array:
    """Gaussian noise of mean 0 and variance 1, smooth over `scale_px` pixels."""
    step = max(scale_px / 4, 1.0)  # drawn on a coarse grid, then enlarged
    coarse = [int(np.ceil(length / step)) + 4 for length in shape]
    grid = _smoothed(rng.standard_normal(coarse, dtype=np.float32), scale_px / step / 2)
    box = (2, 2, 2 + shape[1] / step, 2 + shape[0] / step)
    enlarged = Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box)
    return np.asarray(enlarged, dtype=np.float32)


def _smoothed(noise: Array, sigma: float) -> Array:
    smooth: Array = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()


def _uniform(noise: Array, deviation: float = 1.0) -> Array:
    """Make normal noise of standard deviation `deviation` uniform on [0, 1]."""
    return ndtr(noise / deviation).astype(np.float32)


def _section(rng: np.random.Generator, shape: tuple[int, int], um_per_px: float) -> Array:
    """A rounded piece of tissue (1) with a ragged outline and a bare margin (0) around it, h x w."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in shape)
    power = rng.uniform(2.6, 4.0)
    radius = (np.abs(x / 0.88)[None, :] ** power + np.abs(y / 0.88)[:, None] ** power) ** (1 / power)
    outline = 1 - radius + 0.035 * _noise(rng, shape, 500 / um_per_px)
    outline += 0.004 * _noise(rng, shape, 80 / um_per_px) + 0.003 * _noise(rng, shape, 25 / um_per_px)
    return np.clip(outline * max(shape) / 3, 0, 1)


def _collagen(rng: np.random.Generator, fields: Fields, um_per_px: float) -> tuple[Array, Array, Array]:
    """Where there is stroma (0-1), how bright its wavy fibres are (0-1), and which way they run (radians), each h x w.

    Fibres are level lines of a smooth potential: a tilted plane, bent by noise. Bands of stroma run along them.
    """
    shape = fields.shape
    tilt = rng.uniform(0, math.pi)
    cos, sin = math.cos(tilt), math.sin(tilt)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * np.float32(um_per_px)
    across = x * cos + y * sin + 140 * _noise(rng, shape, 420 / um_per_px)
    across += 7 * _noise(rng, shape, 55 / um_per_px)
    along = y * cos - x * sin
    bands = _uniform(_lookup(rng, across / 80, along / 200) + 0.35 * _noise(rng, shape, 22 / um_per_px), 1.06)
    stroma = np.clip((fields.stroma - bands) / 0.1 + 0.5, 0, 1)
    thin = max(3.0, 1.6 * um_per_px)  # thinner than the pixels would show as moire
    strands = _lookup(rng, across / (2.2 * thin), along / 90) + 0.7 * _lookup(rng, across / thin, along / 45)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(across, 12 / um_per_px))
    direction = np.arctan2(slope_x, -slope_y)  # at right angles to the slope
    return stroma, _uniform(strands, 1.22), direction


def _lookup(rng: np.random.Generator, row: Array, column: Array) -> Array:
    """Read a wrapping sheet of normal noise at real-valued places; it is smooth over one unit."""
    cells = 4  # of the sheet per unit
    sheet = _smoothed(rng.standard_normal((512, 512), dtype=np.float32), cells / 2)
    places = [row * cells, column * cells]
    values: Array = ndimage.map_coordinates(sheet, places, order=1, mode="grid-wrap", output=np.float32)
    return values


def _nuclei(rng: np.random.Generator, fields: Fields, stroma: Array, direction: Array, um_per_px: float) -> Array:
    """The haematoxylin of all nuclei, h x w: round in nests of cells, spindles along the fibres in stroma."""
    y, x = _places(rng, fields, stroma, um_per_px)
    at = (y.astype(int), x.astype(int))
    in_stroma = rng.uniform(size=y.size) < stroma[at]
    size = fields.size[at]
    diameter = (DIAMETER_UM[0] + (DIAMETER_UM[1] - DIAMETER_UM[0]) * size) * rng.lognormal(0, 0.12, y.size)
    aspect = np.where(in_stroma, rng.uniform(1.7, 3.0, y.size), rng.uniform(1.0, 1.45, y.size))
    angle = np.where(in_stroma, direction[at] + rng.normal(0, 0.2, y.size), rng.uniform(0, np.pi, y.size))
    area = np.where(in_stroma, 0.8, 1.0)  # a spindle cut lengthwise shows a little less than a ball
    major = diameter / 2 * np.sqrt(aspect * area) / um_per_px
    minor = major / aspect
    darkness = rng.lognormal(0, 0.16, y.size) * (1.12 - 0.25 * size)  # large nuclei are pale
    ink = _stamp(fields.shape, np.stack([y, x, major, minor, angle, darkness]).astype(np.float32))
    chromatin = 1 + 0.16 * _noise(rng, fields.shape, max(2.0 / um_per_px, 1.0))
    return ink * chromatin


def _places(
    rng: np.random.Generator, fields: Fields, stroma: Array, um_per_px: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres of the nuclei, y and x in pixels: a jittered grid, thinned to the wanted density."""
    height, width = fields.shape
    step = GRID_UM / um_per_px
    y, x = (axis.ravel() for axis in np.mgrid[0 : height - 1 : step, 0 : width - 1 : step])
    y = np.clip(y + rng.uniform(-0.45, 0.45, y.size) * step, 0, height - 1)
    x = np.clip(x + rng.uniform(-0.45, 0.45, x.size) * step, 0, width - 1)
    at = (y.astype(int), x.astype(int))
    per_mm2 = NUCLEI_PER_MM2[0] + (NUCLEI_PER_MM2[1] - NUCLEI_PER_MM2[0]) * fields.density[at]
    # Nests hold more of the nuclei than stroma does; divided by its mean, so that the density field still rules a patch.
    nesting = (1 - 0.6 * stroma[at]) / (1 - 0.6 * fields.stroma[at])
    clumps = np.exp(0.45 * _noise(rng, fields.shape, 22 / um_per_px)[at] - 0.1)
    expected = per_mm2 * nesting * clumps * (GRID_UM / 1000) ** 2
    kept = rng.uniform(size=y.size) < expected * (fields.tissue[at] > 0.6)
    return y[kept], x[kept]


def _stamp(shape: tuple[int, int], ellipses: Array) -> Array:
    """Draw soft-edged ellipses (rows y, x, major, minor, angle, darkness; pixels) and keep the darkest ink at each pixel."""
    canvas = np.zeros(shape, dtype=np.float32)
    reach = int(np.ceil(ellipses[2].max(initial=0) + 1))
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1, 1)  # 2 x window x 1
    for start in range(0, ellipses.shape[1], max(CHUNK // offsets.shape[1], 1)):
        y, x, major, minor, angle, darkness = ellipses[:, start : start + max(CHUNK // offsets.shape[1], 1)]
        rows, columns = offsets[0] + y.astype(int), offsets[1] + x.astype(int)  # window x ellipses
        dy, dx = rows - y, columns - x
        lengthwise = (dx * np.cos(angle) + dy * np.sin(angle)) / major
        crosswise = (dy * np.cos(angle) - dx * np.sin(angle)) / minor
        radius = np.sqrt(lengthwise**2 + crosswise**2)
        cover = np.clip((1 - radius) * minor + 0.5, 0, 1) * (0.85 + 0.15 * np.minimum(radius, 1))  # a darker rim
        seen = (cover > 0) & (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        np.maximum.at(canvas, (rows[seen], columns[seen]), (cover * darkness)[seen])
    return canvas


def _expose(
    rng: np.random.Generator, haematoxylin: Array, eosin: Array, stain: Stain, um_per_px: float
) -> npt.NDArray[np.uint8]:
    """Turn stain concentrations (h x w) into the picture that a scanner takes."""
    absorbed = np.array([stain.haematoxylin, stain.eosin]) * [[stain.haematoxylin_strength], [stain.eosin_strength]]
    light = np.exp(-np.stack([haematoxylin, eosin], axis=-1) @ absorbed.astype(np.float32))  # h x w x 3, Beer-Lambert
    light = ndimage.gaussian_filter(light, (max(0.9 / um_per_px, 0.35),) * 2 + (0,))
    lamp = 1 + 0.012 * _noise(rng, haematoxylin.shape, max(haematoxylin.shape) / 2)
    picture = light * lamp[..., None] * np.asarray(stain.background, dtype=np.float32)
    picture += rng.normal(0, 2.0, haematoxylin.shape)[..., None] + rng.normal(0, 1.0, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
