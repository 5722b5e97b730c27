"""Pixels for the page: patches, the slide as a faded ground, and maps of spots drawn over it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_client.report.charts import data_uri
from c2lst_client.report.inputs import SlideView, SpotTable

MOST_PATCH_PX = 128  # patches larger than this are shown reduced
SLIDE_PX = 900  # longer side of the slide on the page
MAP_PX = 560
SPOT_OF_PITCH = 0.92  # diameter of a spot on a map, as a share of the distance between spots
GREY = "#b9bec6"

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Extent:
    """The part of the slide that maps show, in slide pixels."""

    left: float
    top: float
    width: float
    height: float


def pitch_of(spots: SpotTable) -> float:
    """Return the median distance between neighbouring spots, in slide pixels."""
    from scipy.spatial import cKDTree

    distances, _ = cKDTree(spots.centres).query(spots.centres, k=2)
    return float(np.median(distances[:, 1]))


def extent_of(spots: SpotTable) -> Extent:
    """Return the box around all spots with one spot's distance to spare on every side."""
    pitch = pitch_of(spots)
    low, high = spots.centres.min(axis=0) - pitch, spots.centres.max(axis=0) + pitch
    return Extent(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def patch_uri(patch: npt.NDArray[np.uint8]) -> str:
    """Return a patch as a JPEG of high quality with full colour resolution."""
    image = Image.fromarray(patch)
    image.thumbnail((MOST_PATCH_PX, MOST_PATCH_PX), Image.Resampling.LANCZOS)
    return _jpeg(image, quality=92)


def slide_uri(slide: SlideView, extent: Extent) -> str:
    """Return the part of the slide under `extent`; white where the slide ends."""
    scale = slide.slide_px_per_px
    box = np.array([extent.left, extent.top, extent.left + extent.width, extent.top + extent.height]) / scale
    left, top, right, bottom = np.round(box).astype(int)
    height, width = slide.pixels.shape[:2]
    ground = Image.new("RGB", (max(right - left, 1), max(bottom - top, 1)), "white")
    part = slide.pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if part.size:
        ground.paste(Image.fromarray(np.ascontiguousarray(part)), (max(-left, 0), max(-top, 0)))
    ground.thumbnail((SLIDE_PX, SLIDE_PX), Image.Resampling.LANCZOS)
    return _jpeg(ground, quality=80)


def spot_map(spots: SpotTable, extent: Extent, chosen: npt.NDArray[np.intp], colours: npt.ArrayLike) -> str:
    """Return a transparent PNG of `extent` with the `chosen` spots in `colours`, and the other spots as small grey dots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

    scale = MAP_PX / max(extent.width, extent.height)
    figure = Figure(figsize=(extent.width * scale / 100, extent.height * scale / 100), dpi=100, facecolor="none")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(extent.left, extent.left + extent.width), ylim=(extent.top + extent.height, extent.top))
    axes.set_axis_off()
    others = np.setdiff1d(np.arange(len(spots.barcodes)), chosen)
    for members, colour, share in ((others, GREY, 0.35), (chosen, colours, SPOT_OF_PITCH)):
        size = np.full(len(members), share * pitch_of(spots))
        axes.add_collection(
            EllipseCollection(
                size, size, np.zeros(len(members)), units="xy", offsets=spots.centres[members],
                offset_transform=axes.transData, facecolors=colour, linewidths=0,
            )
        )  # fmt: skip
    canvas.draw()
    # A palette of 256 colours looks the same and is a quarter of the size.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).quantize(256, method=Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return data_uri("image/png", buffer.getvalue())


def value_colours(values: Floats, low: float, high: float) -> npt.NDArray[np.floating]:
    """Return viridis colours (N x 4) of `values` on the scale from `low` to `high`."""
    import matplotlib as mpl

    scaled = (np.asarray(values, dtype=float) - low) / max(high - low, 1e-12)
    colours: npt.NDArray[np.floating] = mpl.colormaps["viridis"](np.clip(scaled, 0, 1))
    return colours


def value_gradient() -> str:
    """Return viridis as the colour stops of a CSS gradient."""
    from matplotlib.colors import to_hex

    return ", ".join(to_hex(colour) for colour in value_colours(np.linspace(0, 1, 9), 0, 1))


def scale_bar(extent: Extent, um_per_px: float) -> tuple[str, float]:
    """Return a round length that fits a quarter of the map, in words, and its share of the map's width."""
    widest = extent.width * um_per_px / 4
    power = 10.0 ** np.floor(np.log10(widest))
    length = max(step * power for step in (1, 2, 5) if step * power <= widest)
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    return words, float(length / um_per_px / extent.width)


def _jpeg(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return data_uri("image/jpeg", buffer.getvalue())
