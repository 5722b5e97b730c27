"""Quality at equal samples: is a faster sampler as good as 250 DDIM steps? Differences with intervals, on an adapted site.

    python benchmarks/quality.py HOME SITE [--sampler unipc:15:0.4] [--noises 2] [--json]

HOME is a client's state folder in which SITE has an adapter (`c2lst-client adapt`). For each held-out spot, patches are
generated from its expression under each sampler, from the same noises, and compared with the real ones: conditioning r and
concordance of the nuclear fraction, and the kernel distance of EfficientNet features (times 1000). The reference runs once more
from other noises: how far it then is from itself is chance. Intervals are over parts of the slide, differences paired.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import paired

from c2lst_client.adapted import Adapted
from c2lst_client.evaluate.distance import kernel_distance
from c2lst_client.evaluate.embedding import Encoder, built_in_encoder
from c2lst_client.evaluate.nuclei import nuclear_fraction, nuclear_threshold
from c2lst_client.evaluate.statistics import Estimate, concordance, correlation, resample
from c2lst_client.journey import Journey
from c2lst_client.settings import Settings
from c2lst_client.sites import open_site
from c2lst_client.synthesise import write_pairs
from c2lst_shared.presets import SamplingConfig
from c2lst_shared.progress import Progress, Silent, console_progress

REFERENCE = "ddim:250:0"
AGAIN = " from other noises"
DEFAULTS = ["unipc:15:0.4", "unipc:12:0.4", "dpm++:25:0"]

Patches = npt.NDArray[np.uint8]


class Measured(NamedTuple):
    """One sampler's patches, measured."""

    seconds: float
    r: Estimate
    concordance: Estimate
    distance: Estimate
    features: npt.NDArray[np.float32]


class Judge:
    """Measures patches against the real ones of the held-out spots."""

    def __init__(self, adapted: Adapted, encoder: Encoder, noises: int) -> None:
        train, held_out = (adapted.tissue(rows).patches for rows in adapted.rows)
        self._threshold = nuclear_threshold(train)
        self._encoder = encoder
        self._noises = noises
        self._real_fraction = nuclear_fraction(held_out, self._threshold)
        self._real = encoder(held_out)
        self.draws = resample(len(held_out), centres=adapted.spots.centres[adapted.rows[1]])
        self._repeated = self.draws._replace(spots=np.tile(self.draws.spots, noises) / noises)
        single = resample(len(train), centres=adapted.spots.centres[adapted.rows[0]])
        self.floor = kernel_distance(self._real, encoder(train), self.draws, single)

    def measure(self, patches: Patches, seconds: float) -> Measured:
        """Measure `noises` patches for each held-out spot, given as noises x spots."""
        fraction = nuclear_fraction(patches, self._threshold).reshape(self._noises, -1).mean(axis=0)
        features = self._encoder(patches)
        return Measured(
            seconds,
            correlation(self._real_fraction, fraction, self.draws),
            concordance(self._real_fraction, fraction, self.draws),
            kernel_distance(self._real, features, self.draws, self._repeated),
            features,
        )


def patches_of(adapted: Adapted, sampling: SamplingConfig, noises: int, seed: int, progress: Progress) -> tuple[Patches, float]:
    """Generate patches, noises x spots, as `evaluate` does; return them with the seconds that it took."""
    _, rows = adapted.rows
    expression = np.tile(adapted.expression[rows], (noises, 1))
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        pairs = write_pairs(
            Path(scratch, "pairs"),
            adapted.release,
            adapted.adaptation,
            expression,
            barcodes=[f"{number}" for number in range(len(expression))],
            coords=np.tile(adapted.spots.centres[rows], (noises, 1)),
            obs={},
            sampling=sampling,
            seed=seed,
            provenance={"kind": "benchmark"},
            overwrite=False,
            progress=progress,
            stop=lambda: False,
        )
        seconds = time.perf_counter() - began
        return pairs.patches(range(len(pairs))), seconds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("home", type=Path)
    arguments.add_argument("site")
    arguments.add_argument("--sampler", action="append", help=f"NAME:STEPS:GUIDED_FROM; default {', '.join(DEFAULTS)}")
    arguments.add_argument("--reference", default=REFERENCE, help=f"NAME:STEPS:GUIDED_FROM; default {REFERENCE}")
    arguments.add_argument("--noises", type=int, default=2, help="patches for each held-out spot")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    settings = Settings(home=given.home)
    adapted = Journey(settings, open_site(settings.folders, given.site), progress=Silent(), stop=lambda: False).adapted()
    judge = Judge(adapted, built_in_encoder(), given.noises)
    suggested = adapted.release.manifest.defaults.sampling
    results: dict[str, Measured] = {}
    with console_progress() as progress:
        for name in [given.reference, given.reference + AGAIN, *(given.sampler or DEFAULTS)]:
            sampler, steps, guided_from = name.split()[0].split(":")
            chosen = {"sampler": sampler, "steps": int(steps), "guided_from": float(guided_from)}
            sampling = SamplingConfig.model_validate(suggested.model_dump() | chosen)
            seed = 1 if name.endswith(AGAIN) else 0
            results[name] = judge.measure(*patches_of(adapted, sampling, given.noises, seed, progress))
    rows = [row(name, measured, results[given.reference]) for name, measured in results.items()]
    floor = shown(judge.floor, 1000)
    if given.json:
        print(json.dumps({"benchmark": "quality", "machine": paired.machine(), "floor": floor, "rows": rows}, indent=1))
        return
    print(f"{len(results[given.reference].features)} patches, guidance {suggested.guidance}; {paired.machine()}")
    print(f"kernel distance x1000 of real training from real held-out patches, the floor: {words(floor)}")
    for one in rows:
        print(f"\n{one['sampler']}: {one['times_reference']:.1f} times as fast as the reference")
        for what in ("r", "concordance", "distance"):
            print(f"  {what:<12} {words(one[what]):<30} minus the reference's {words(one[what + '_difference'])}")


def row(name: str, measured: Measured, reference: Measured) -> dict[str, object]:
    found: dict[str, object] = {"sampler": name, "times_reference": reference.seconds / measured.seconds}
    for what, scale in (("r", 1), ("concordance", 1), ("distance", 1000)):
        estimate: Estimate = getattr(measured, what)
        found[what] = shown(estimate, scale)
        found[what + "_difference"] = shown(estimate.minus(getattr(reference, what)), scale)
    return found


def shown(estimate: Estimate, scale: float) -> list[float]:
    found = estimate.interval()
    return [round(scale * number, 4) for number in (found.value, found.low, found.high)]


def words(numbers: object) -> str:
    value, low, high = numbers  # type: ignore[misc]
    return f"{value:7.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
