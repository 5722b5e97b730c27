"""What synthesis costs as it grows: time and memory against pairs, spots and genes, on a toy network and a made-up slide.

    python benchmarks/growth.py [--json]

The network is tiny, so what is seen is the machinery: planning, streaming to disk, fingerprints, panels. Each point runs in a
process of its own. Memory must not follow the number of pairs; time must grow no faster than the number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import paired

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SERIES: dict[str, list[tuple[int, int, int]]] = {  # (spots, pairs per spot, genes)
    "pairs": [(49, 2, 250), (49, 20, 250), (49, 204, 250)],
    "spots": [(49, 20, 250), (196, 20, 250), (784, 20, 250)],
    "genes": [(49, 20, 250), (49, 20, 2000), (49, 20, 18000)],
}


def measure(spots: int, per_spot: int, genes: int) -> dict[str, float]:
    """Prepare, adapt a few steps, synthesise; return seconds of synthesis and peak memory."""
    from fakes.small_site import PITCH_PX, SmallSite, h_and_e
    from fakes.toy_release import DEFAULTS, toy_release

    from c2lst_client.adapt import AdaptationSettings, adapt
    from c2lst_client.spots.prepare import prepare_spots
    from c2lst_client.spots.read import read_spots
    from c2lst_client.synthesise import synthesise
    from c2lst_shared.progress import Silent

    repeat = round((spots / 49) ** 0.5)
    side = 7 * repeat
    ticks = 84.0 + PITCH_PX * np.arange(side)
    slide = SmallSite(
        centres=np.array([(x, y) for y in ticks for x in ticks]),
        counts=np.random.default_rng(0).poisson(4.0, (side * side, genes)),
        genes=[f"Gene{number}" for number in range(genes)],
        barcodes=[f"{x}x{y}" for y in range(2, side + 2) for x in range(2, side + 2)],
        pixels=np.tile(h_and_e(), (repeat, repeat, 1)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder, release = Path(scratch), toy_release()
        found = read_spots(slide.write_legacy(folder / "raw"))
        prepared = prepare_spots(found, release.manifest.backbone, release.manifest.stain, folder / "spots")
        settings = AdaptationSettings(
            fraction=0.9, method="random", seed=0, genes=genes, adapter=DEFAULTS.adapter, training=DEFAULTS.adaptation
        )
        made = adapt(folder / "adapter", release, prepared, settings, overwrite=False, progress=Silent(), stop=lambda: False)
        before, began = paired.peak(), time.perf_counter()
        pairs = synthesise(
            folder / "synthetic",
            release,
            made,
            prepared,
            per_spot=per_spot,
            mode="interpolated",
            sampling=DEFAULTS.sampling.model_copy(update={"batch": 64}),
            seed=0,
            overwrite=False,
            progress=Silent(),
            stop=lambda: False,
        )
        seconds = time.perf_counter() - began
    after = paired.peak()
    return {"pairs": len(pairs), "seconds": seconds, "peak_mib": after, "grown_mib": after - before}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--point", nargs=3, type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.point:
        print(json.dumps(measure(*given.point)))
        return
    rows = []
    for what, points in SERIES.items():
        for spots, per_spot, genes in points:
            words = [sys.executable, __file__, "--point", str(spots), str(per_spot), str(genes)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            rows.append({"growing": what, "spots": spots, "genes": genes} | json.loads(done.stdout.splitlines()[-1]))
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    print(
        f"{'growing':<10}{'spots':>8}{'genes':>8}{'pairs':>8}{'seconds':>10}{'ms a pair':>11}{'peak MiB':>10}{'grown MiB':>11}"
    )
    for row in rows:
        print(
            f"{row['growing']:<10}{row['spots']:>8}{row['genes']:>8}{row['pairs']:>8}{row['seconds']:>10.2f}"
            f"{1000 * row['seconds'] / row['pairs']:>11.2f}{row['peak_mib']:>10.0f}{row['grown_mib']:>11.0f}"
        )


if __name__ == "__main__":
    main()
