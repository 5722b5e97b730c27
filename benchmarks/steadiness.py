"""Does a process that works evenly grow? A rule that is fixed before one looks at the figures.

The first quarter of the time is left out: caches, pools and the allocator's arenas fill up. The rest is cut into `BLOCKS` equal
parts, and of each the lowest figure counts: what is under way comes and goes, what is never given back raises the floor. The
slope of these floors over time is that of Theil and Sen, with its 95 % interval (`scipy.stats.theilslopes`); it does not follow
a single step, as least squares would. Over the time that is judged:

- *grows*: the whole interval lies above zero, and the growth is more than `TRIVIAL`;
- *steady*: not so, and even the upper end of the interval is no more growth than `ALLOWED`;
- *undecided*: neither, or less than ten minutes were judged (SQLite's log alone fills for minutes until it is written back to
  its start); a longer soak, or a quieter machine, would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import theilslopes

WARM_UP = 0.25  # of the time
BLOCKS = 15
LEAST_HOURS = 10 / 60  # that have to be judged
TRIVIAL = {"rss_mib": 1.0, "files": 1.0, "threads": 1.0, "wal_mib": 1.0}  # growth that nobody would look for
ALLOWED = {"rss_mib": 8.0, "files": 3.0, "threads": 3.0, "wal_mib": 4.0}  # 4 MiB: the log is taken over at 1,000 pages

Verdict = Literal["steady", "grows", "undecided"]


@dataclass(frozen=True)
class Growth:
    """Of one figure, from the end of the warm-up to the end."""

    name: str
    lowest: float  # floor of the first block
    last: float  # floor of the last block
    slope: float  # per hour
    low: float  # 95 % interval of the slope
    high: float
    hours: float  # that were judged
    verdict: Verdict

    def sentence(self) -> str:
        """One line of a report."""
        figures = f"{self.lowest:8.1f} -> {self.last:8.1f}, per hour {self.slope:+8.2f} [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.name:<8} {figures}: {self.verdict}"


def growth(rows: Sequence[dict[str, float]], name: str) -> Growth:
    """Judge one figure of rows that each have the `seconds` at which they were taken.

    Raises:
        ValueError: after the warm-up there are fewer rows than blocks.
    """
    first, end = rows[0]["seconds"], rows[-1]["seconds"]
    begin = first + WARM_UP * (end - first)
    width = (end - begin) / BLOCKS
    blocks: list[list[float]] = [[] for _ in range(BLOCKS)]
    for row in rows:
        if row["seconds"] >= begin:
            blocks[min(int((row["seconds"] - begin) / width), BLOCKS - 1)].append(row[name])
    if not all(blocks):
        raise ValueError(f"{len(rows)} looks are too few for {BLOCKS} blocks after the warm-up")
    floors, hours = [min(block) for block in blocks], (end - begin) / 3600
    middles = [(number + 0.5) / BLOCKS * hours for number in range(BLOCKS)]
    slope, _, low, high = (float(value) for value in theilslopes(floors, middles, 0.95))
    verdict = _verdict(name, slope * hours, low, high * hours) if hours >= LEAST_HOURS else "undecided"
    return Growth(name, floors[0], floors[-1], slope, low, high, hours, verdict)


def _verdict(name: str, grown: float, low: float, most: float) -> Verdict:
    if low > 0 and grown > TRIVIAL[name]:
        return "grows"
    return "steady" if most <= ALLOWED[name] else "undecided"
