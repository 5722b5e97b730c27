"""A process of its own that writes pairs, for tests that kill it or measure its memory.

    python -m fakes.pair_process FOLDER COUNT SIDE

Says the number of the next pair on standard output after each one is written, and its peak memory in KiB at the end.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from c2lst_client.spots.pairs import PairWriter


def patch(number: int, side: int) -> np.ndarray:
    """The patch of one pair: different for every number."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def writer(folder: Path, count: int, side: int, **changes: object) -> PairWriter:
    """A writer whose content follows from `count` and `side`."""
    content = {
        "barcodes": [f"synthetic-{number:05}" for number in range(count)],
        "expression": np.random.default_rng(count).standard_normal((count, 5)).astype(np.float32),
        "genes": list("abcde"),
        "image_px": side,
        "coords": np.arange(2.0 * count).reshape(count, 2),
        "obs": {"source": [f"spot{number % 7}" for number in range(count)]},
        "provenance": {"kind": "synthetic pairs", "guidance": 3.0, "seeds": (1, 2)},
    }
    return PairWriter(folder, **(content | changes))  # type: ignore[arg-type]


def main(folder: str, count: str, side: str) -> None:
    """Write pairs one by one, going on where an earlier process stopped."""
    with writer(Path(folder), int(count), int(side)) as pairs:
        print(pairs.done, flush=True)
        while pairs.done < len(pairs):
            pairs.append(patch(pairs.done, int(side))[None])
            print(pairs.done, flush=True)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
