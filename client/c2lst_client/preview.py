"""A picture of what was read: the slide with its spots, and a few patches as a model would see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.report.charts import printable, style
from c2lst_client.report.theme import Theme, themes
from c2lst_client.spots.scale import pitch_px
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PATCH_UM = 200.0  # side of a patch when nothing else is asked for
ROWS, COLUMNS = 3, 4  # of patches
PATCH_PX = 192  # a patch in the picture
OVERVIEW_PX = 1400
SIZE_INCHES = (12.5, 6.4)
DPI = 150
SPOT_OF_PITCH = 0.55  # diameter of a spot's circle, as a share of the distance between spots
MOST_NUMBERED = 2000  # spots; more of them are drawn as dots, without rings
LONGEST_TITLE = 110  # characters
HEAD_ROOM = 0.88  # share of the picture below its title


def write_preview(spots: SpotSet, path: Path, patch_um: float = PATCH_UM) -> None:
    """Write a PNG with the slide, all spots on it, and twelve patches of `patch_um` micrometres with names and total counts.

    Args:
        spots: as read.
        path: ends in `.png`; a file that is there is replaced.
        patch_um: side of a patch.

    Raises:
        BadInput: `path` does not end in `.png`, or cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() != ".png":
        raise BadInput(f"{path} does not end in .png; give the preview a name that does.")
    theme = themes()[0]
    chosen = spread_out(spots.centres, ROWS, COLUMNS)
    with rc_context(style(theme) | {"axes.grid": False}):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=theme["card"])
        canvas = FigureCanvasAgg(figure)
        _draw_title(figure, spots, theme)
        _draw_slide(figure.add_axes((0.012, 0.03, 0.46, HEAD_ROOM - 0.05)), spots, chosen, patch_um, theme)
        width, height = 0.512 / COLUMNS, HEAD_ROOM / ROWS
        libraries = np.asarray(spots.counts.sum(axis=1)).ravel()
        for number, row in enumerate(chosen):
            left, top = 0.485 + number % COLUMNS * width, HEAD_ROOM - number // COLUMNS * height
            axes = figure.add_axes((left + 0.004, top - height + 0.075, width - 0.008, height - 0.085))
            _draw_patch(axes, spots, int(row), number + 1, int(libraries[row]), patch_um, theme)
        try:
            with atomic.replacing(path) as temporary:
                canvas.print_figure(temporary, format="png", dpi=DPI)
        except OSError as error:
            raise BadInput(f"The preview cannot be written to {path} ({error.strerror or error}); give another path.") from None


def spread_out(centres: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.intp]:
    """Return up to `rows` x `columns` spots from all over the slide, in the order of their places on it.

    The spots are parted into as many bands from top to bottom as there are rows, each into cells of equally many spots from
    left to right, and of each cell the spot nearest to its middle is taken.
    """
    chosen = []
    for band in np.array_split(np.argsort(centres[:, 1], kind="stable"), rows):
        for cell in np.array_split(band[np.argsort(centres[band, 0], kind="stable")], columns):
            if len(cell):
                away = np.linalg.norm(centres[cell] - centres[cell].mean(axis=0), axis=1)
                chosen.append(cell[away.argmin()])
    return np.array(chosen, dtype=np.intp)


def _draw_title(figure: Figure, spots: SpotSet, theme: Theme) -> None:
    width, height = spots.slide.size
    facts = (
        f"{len(spots):,} spots · {len(spots.genes):,} genes · {width:,} x {height:,} px · {spots.um_per_px:.3g} µm per px · "
        f"spots {pitch_px(spots.centres) * spots.um_per_px:.0f} µm apart"
    )
    source = printable(spots.source, LONGEST_TITLE)
    figure.text(0.012, 0.955, source, fontsize=12, fontweight="bold", color=theme["ink"], va="center")
    figure.text(0.012, 0.912, facts, fontsize=10, color=theme["ink-soft"], va="center")


def _draw_slide(axes: Axes, spots: SpotSet, chosen: npt.NDArray[np.intp], patch_um: float, theme: Theme) -> None:
    from matplotlib.collections import EllipseCollection
    from matplotlib.patches import Rectangle

    pixels, _ = spots.slide.overview(OVERVIEW_PX)
    width, height = spots.slide.size
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased")
    size = np.full(len(spots), SPOT_OF_PITCH * pitch_px(spots.centres))
    many = len(spots) > MOST_NUMBERED
    axes.add_collection(
        EllipseCollection(
            size, size, np.zeros(len(spots)), units="xy", offsets=spots.centres, offset_transform=axes.transData,
            facecolors=theme["real"] if many else "none", edgecolors=theme["real"], linewidths=0 if many else 1.0,
        )
    )  # fmt: skip
    side = patch_um / spots.um_per_px
    for number, row in enumerate(chosen, start=1):
        x, y = spots.centres[row]
        axes.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, fill=False, edgecolor=theme["ink"], linewidth=1.2))
        box = {"facecolor": theme["card"], "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
        axes.annotate(
            str(number), (x, y - side / 2), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8,
            color=theme["ink"], bbox=box, annotation_clip=True,
        )  # fmt: skip
    axes.set(xlim=(0, width), ylim=(height, 0))
    _frame(axes, theme)


def _draw_patch(axes: Axes, spots: SpotSet, row: int, number: int, library: int, patch_um: float, theme: Theme) -> None:
    axes.imshow(spots.patch(row, patch_um, PATCH_PX), interpolation="antialiased")
    axes.set_title(f"{number}  {printable(spots.barcodes[row], 20)}", fontsize=8, color=theme["ink"], loc="left", pad=3)
    axes.set_xlabel(f"{library:,} counts · {patch_um:g} µm", fontsize=8, labelpad=3, loc="left")
    _frame(axes, theme)


def _frame(axes: Axes, theme: Theme) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=theme["line"])
