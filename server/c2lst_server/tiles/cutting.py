"""The second pass: tiles are cut again, a job at a time, and go to the file that training reads.

A job is `JOB_TILES` tiles, of one slide or of several: a large slide is shared by the processes, and small groups of tiles do
not cost one task each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.sources import Source
from c2lst_server.tiles.survey_cache import Surveyed
from c2lst_shared import atomic
from c2lst_shared.images.pixels import Pixels
from c2lst_shared.images.stain import SlideStain, normalise
from c2lst_shared.processes import Spread
from c2lst_shared.progress import Progress
from c2lst_shared.release.manifest import StainReference

JOB_TILES = 2048
BATCH = 64  # tiles normalised and written at a time


@dataclass(frozen=True)
class Piece:
    """Tiles of one source."""

    source: Source
    sha256: str
    um_per_px: float
    stain: SlideStain
    first: int  # number of the first place among those of its source
    places: npt.NDArray[np.float64]

    def batches(self, settings: CorpusSettings) -> Iterator[Pixels]:
        """Cut the tiles as they were scanned, `BATCH` at a time."""
        read = self.source.reader(self.um_per_px, settings.patch_um, settings.image_px)
        for start in range(0, len(self.places), BATCH):
            yield np.stack([read(place) for place in self.places[start : start + BATCH]])


@dataclass(frozen=True)
class Job:
    """Work for one process: tiles that follow each other in the corpus, from row `first`."""

    first: int
    pieces: tuple[Piece, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return sum(len(piece.places) for piece in self.pieces)


def jobs(surveyed: Sequence[Surveyed], sources: Mapping[str, Source]) -> Iterator[Job]:
    """Divide all tiles into jobs, in order."""
    first, pieces, count = 0, [], 0
    for slide in surveyed:
        done = 0
        while done < len(slide.places):
            places = slide.places[done : done + JOB_TILES - count]
            pieces.append(Piece(sources[slide.name], slide.sha256, slide.finding.um_per_px, slide.finding.stain, done, places))
            done, count = done + len(places), count + len(places)
            if count == JOB_TILES:
                yield Job(first, tuple(pieces))
                first, pieces, count = first + count, [], 0
    if pieces:
        yield Job(first, tuple(pieces))


@dataclass(frozen=True)
class _Writing:
    job: Job
    settings: CorpusSettings
    reference: StainReference
    path: Path
    offset: int


def write_tiles(
    path: Path,
    surveyed: Sequence[Surveyed],
    sources: Mapping[str, Source],
    reference: StainReference,
    settings: CorpusSettings,
    spread: Spread,
    progress: Progress,
) -> None:
    """Write the normalised tiles to a `.npy` file, each job at its own place in it."""
    total, side = sum(len(slide.places) for slide in surveyed), settings.image_px
    progress.start("cutting tiles", total)
    with atomic.replacing(path) as temporary:
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (total, side, side, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            file.truncate(start + total * side * side * 3)
        bytes_per_tile = side * side * 3
        tasks = (
            _Writing(job, settings, reference, temporary, start + job.first * bytes_per_tile) for job in jobs(surveyed, sources)
        )
        for count in spread(_write_job, tasks):
            progress.advance(count)


def _write_job(task: _Writing) -> int:
    # Plain writing, not a writable memory map: dirty pages would count as this process's memory.
    with task.path.open("r+b") as file:
        file.seek(task.offset)
        for piece in task.job.pieces:
            for tiles in piece.batches(task.settings):
                file.write(normalise(tiles, piece.stain, task.reference).tobytes())
    return task.job.count
