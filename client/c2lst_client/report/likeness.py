"""Do generated patches look like tissue at all? Two crude measures that noise, blur and wrong colours cannot pass.

A correlation can be high on patches that no one would take for tissue, so the page says so where it happens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROUGHEST = 1.6  # times the roughness of real patches; patches in which noise hides the tissue have twice and more
SMOOTHEST = 0.5
MOST_PATCHES = 200  # compared; more change nothing and cost memory
MOST_COLOUR = 30.0  # levels of 255

Patches = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Likeness:
    """How generated patches compare with the real ones of the same spots."""

    roughness: float  # mean difference between neighbouring pixels, as a multiple of that in real patches
    colour: float  # root mean square difference of the mean colours, in levels of 255

    @property
    def faults(self) -> list[str]:
        """What is plainly wrong with the generated patches, in words; nothing when they may pass for tissue."""
        found = []
        if self.roughness > ROUGHEST:
            found.append(f"they are {self.roughness:.1f} times as rough as real ones, as noise is")
        if self.roughness < SMOOTHEST:
            found.append(f"they have {self.roughness:.1f} times the texture of real ones, as blur has")
        if self.colour > MOST_COLOUR:
            found.append(f"their mean colour is {self.colour:.0f} of 255 levels off")
        return found


def compare(real: Patches, synthetic: Patches) -> Likeness:
    """Compare N generated patches with N real ones, each N x P x P x 3."""
    real, synthetic = (patches[:: -(-len(patches) // MOST_PATCHES)] for patches in (real, synthetic))
    colours = real.mean(axis=(0, 1, 2)) - synthetic.mean(axis=(0, 1, 2))
    return Likeness(roughness=_roughness(synthetic) / max(_roughness(real), 1e-12), colour=float(np.sqrt(np.mean(colours**2))))


def _roughness(patches: Patches) -> float:
    grey = patches.mean(axis=3, dtype=np.float32)
    return float(np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=2)).mean())
