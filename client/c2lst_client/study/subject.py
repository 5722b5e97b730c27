"""The division that tissue is looked at on: its spots, what was generated for them, and what was predicted.

S training spots, T held-out spots, G genes, P patch side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from c2lst_client.adapted import Adapted
from c2lst_client.evaluate.nuclei import Pixels, nuclear_fraction, nuclear_threshold
from c2lst_client.predictor_data import Pairs
from c2lst_client.report.clusters import k_means
from c2lst_client.study.design import Division
from c2lst_client.study.workshop import Workshop

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """One division with everything that was made for it."""

    workshop: Workshop
    division: Division
    adapted: Adapted
    pairs: Mapping[str, Pairs]
    generated: Pixels  # T x P x P x 3, one patch from the expression of each held-out spot
    predictions: Mapping[str, Floats]  # arm -> T x G, mean over seeds

    @property
    def genes(self) -> list[str]:
        """The panel, G names."""
        return list(self.adapted.adaptation.panel.genes)

    @property
    def train_rows(self) -> npt.NDArray[np.intp]:
        """Rows of the training spots among all."""
        return self.adapted.rows[0]

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """Rows of the held-out spots among all."""
        return self.adapted.rows[1]

    @cached_property
    def train(self) -> Pixels:
        """Patches of the training spots, S x P x P x 3."""
        return self.adapted.spots.patches(self.train_rows)

    @cached_property
    def real(self) -> Pixels:
        """Patches of the held-out spots, T x P x P x 3."""
        return self.adapted.spots.patches(self.rows)

    @property
    def train_expression(self) -> Floats:
        """Z-scores of the training spots, S x G."""
        return self.adapted.expression[self.train_rows]

    @property
    def expression(self) -> Floats:
        """Z-scores of the held-out spots, T x G."""
        return self.adapted.expression[self.rows]

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """Where the held-out spots lie, T x 2, px."""
        return self.adapted.spots.centres[self.rows]

    @property
    def train_centres(self) -> npt.NDArray[np.float64]:
        """Where the training spots lie, S x 2, px."""
        return self.adapted.spots.centres[self.train_rows]

    @cached_property
    def threshold(self) -> float:
        """Haematoxylin above which a pixel is nucleus, found on the training spots."""
        return nuclear_threshold(self.train)

    @cached_property
    def train_nuclear(self) -> npt.NDArray[np.float64]:
        """Nuclear fraction of the training spots, S."""
        return nuclear_fraction(self.train, self.threshold)

    @cached_property
    def clusters(self) -> npt.NDArray[np.integer]:
        """Expression cluster of each held-out spot, T, found on all spots."""
        return k_means(self.adapted.expression)[self.rows]

    @property
    def patch_um(self) -> float:
        """Side of a patch, um."""
        return self.workshop.release.manifest.backbone.patch_um

    @property
    def um_per_px(self) -> float:
        """Micrometres per pixel of a patch."""
        return self.patch_um / self.workshop.release.manifest.backbone.image_px

    def unadapted(self, count: int) -> Pixels:
        """Patches of the backbone before it was adapted, count x P x P x 3."""
        return self.workshop.unadapted(count)

    def generate(self, name: str, expression: Floats, noises: list[int] | None = None) -> Pixels:
        """Generate one patch for each row of `expression`, N x G; kept under `name` and what it is made from."""
        count = len(expression)
        pairs = self.workshop.from_expression(
            f"{self.workshop.key(self.division)}-{name}",
            self.adapted,
            np.ascontiguousarray(expression, np.float32),
            [f"{name}-{number:05}" for number in range(count)],
            np.zeros((count, 2)),
            noises,
        )
        return pairs.patches(range(count))
