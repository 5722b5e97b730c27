"""What a study is made of, made when it is asked for and kept by content: adapters, synthetic pairs, trained arms.

study/  adapters/KEY/  pairs/KEY/  held_out/KEY/  unadapted/  cells/  journal.json

KEY says what a thing was made from, so that a study with another design finds again what both have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_client.adapt import adapt, load_adaptation
from c2lst_client.adaptation_record import RECORD, AdaptationRecord, AdaptationSettings
from c2lst_client.adapted import Adapted
from c2lst_client.arms import SYNTHETIC, ArmTrainer
from c2lst_client.cotrain_cells import CellFolder
from c2lst_client.expression_plan import ExpressionMode
from c2lst_client.predictor_data import ArrayPairs, Pairs
from c2lst_client.release import LoadedRelease
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.prepare import PreparedSpots
from c2lst_client.study.design import OBSERVED, SHUFFLED, UNADAPTED, Division, StudyDesign
from c2lst_client.synthesise import synthesise, write_pairs, write_unadapted
from c2lst_shared import journal, locking
from c2lst_shared.canonical import fingerprint
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.progress import Progress

WAIT_FOR_PATCHES = 6 * 3600.0  # seconds
UNADAPTED_SEED = 1  # of the noise: not that of the adapted patches


class Workshop:
    """Makes what the divisions of one study need."""

    def __init__(
        self,
        folder: Path,
        release: LoadedRelease,
        spots: PreparedSpots,
        design: StudyDesign,
        *,
        adapter: Path,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        """Take what all divisions have in common.

        Args:
            folder: of the study.
            release: whose backbone is adapted.
            spots: of the site.
            design: of the study.
            adapter: the site's own adapter, used where it is the one that a division wants.
            progress: where to say how far it is.
            stop: asked between steps.
        """
        self.folder, self.release, self.spots, self.design = folder, release, spots, design
        self._adapter, self.progress, self._stop = adapter, progress, stop

    def adapted(self, division: Division) -> Adapted:
        """The adapter of a division, trained on its training spots alone."""
        settings = self.settings(division)
        with journal.recorded(f"adapt, {division.label}", self.folder, belongs_to=self.key(division)):
            adaptation = adapt(
                self._adapter if self._is_sites_own(settings) else self._adapter_of(division),
                self.release,
                self.spots,
                settings,
                overwrite=False,
                progress=self.progress,
                stop=self._stop,
            )
        return Adapted(self.release, self.spots, adaptation)

    def settings(self, division: Division) -> AdaptationSettings:
        """How the adapter of a division is trained."""
        defaults = self.release.manifest.defaults
        return AdaptationSettings(
            fraction=division.fraction,
            method=division.method,
            seed=division.seed,
            genes=self.design.genes,
            adapter=defaults.adapter,
            training=defaults.adaptation,
        )

    def has_adapter(self, division: Division) -> bool:
        """Whether the adapter of a division is made already."""
        return self._is_sites_own(self.settings(division)) or (self._adapter_of(division) / RECORD).exists()

    def key(self, division: Division) -> str:
        """Name a division by all that its adapter depends on."""
        made_from = fingerprint(self.release.fingerprint, self.spots.fingerprint, self.settings(division))
        return f"{division.method}-{100 * division.fraction:g}-{division.seed}-{made_from[:12]}"

    def pairs(self, division: Division, adapted: Adapted) -> dict[str, Pairs]:
        """The synthetic pairs of a division and, where it has them, of its controls; under the names that recipes use."""
        synthetic = self._synthetic(division, adapted, "interpolated")
        found: dict[str, Pairs] = {SYNTHETIC: synthetic}
        if self.design.has_controls(division):
            patches = synthetic.patches(range(len(synthetic)))
            order = np.random.default_rng(division.seed).permutation(len(synthetic))
            found[SHUFFLED] = ArrayPairs(patches, synthetic.expression[order])
            found[UNADAPTED] = ArrayPairs(self.unadapted(len(synthetic)), synthetic.expression)
            found[OBSERVED] = self._synthetic(division, adapted, "observed")
        return found

    def pairs_folder(self, division: Division, mode: ExpressionMode) -> Path:
        """Where the synthetic pairs of a division lie."""
        made_from = fingerprint(self.design.sampling, self.design.highest)
        return self.folder / "pairs" / f"{self.key(division)}-{mode}-{made_from[:12]}"

    def unadapted(self, count: int) -> npt.NDArray[np.uint8]:
        """Patches of the backbone alone, count x P x P x 3; the first ones are the same whatever the count."""
        folder = self.folder / "unadapted" / f"{count}-{fingerprint(self.release.fingerprint, self.design.sampling)[:12]}"
        message = (
            "Another process has been generating patches of the backbone for hours; stop it and run the same command again."
        )
        with locking.locked(folder.with_suffix(".lock"), message, wait=WAIT_FOR_PATCHES):  # divisions share them
            pairs = write_unadapted(
                folder,
                self.release,
                count,
                sampling=self.design.sampling,
                seed=UNADAPTED_SEED,
                progress=self.progress,
                stop=self._stop,
            )
        return pairs.patches(range(count))

    def held_out(self, division: Division, adapted: Adapted) -> PairSet:
        """Patches generated from the expression of the held-out spots, one for each."""
        _, rows = adapted.rows
        return self.from_expression(
            f"{self.key(division)}-held-out",
            adapted,
            adapted.expression[rows],
            [self.spots.barcodes[row] for row in rows],
            self.spots.centres[rows],
        )

    def from_expression(
        self,
        name: str,
        adapted: Adapted,
        expression: npt.NDArray[np.float32],
        barcodes: list[str],
        centres: npt.NDArray[np.float64],
        noises: list[int] | None = None,
    ) -> PairSet:
        """Generate one patch for each row of `expression`, N x G, under a name that says what they are for.

        `noises` are the numbers of the noise that patches start from, 0 to N - 1 when not given.
        """
        made_from = fingerprint(self.design.sampling, {"expression": expression.tolist(), "noises": noises})
        return write_pairs(
            self.folder / "generated" / f"{name}-{made_from[:12]}",
            self.release,
            adapted.adaptation,
            expression,
            barcodes=barcodes,
            coords=centres,
            obs={},
            sampling=self.design.sampling,
            seed=0,
            provenance={"kind": f"patches for the study: {name}"},
            overwrite=True,
            progress=self.progress,
            stop=self._stop,
            noises=noises,
        )

    def trainer(self, adapted: Adapted, pairs: dict[str, Pairs]) -> ArmTrainer:
        """Trains the arms of a division."""
        train_rows, test_rows = adapted.rows
        return ArmTrainer(
            adapted.pairs(train_rows),
            adapted.pairs(test_rows),
            pairs,
            self.design.predictor,
            cells=CellFolder(self.folder / "cells"),
            progress=self.progress,
            on_step=self.interrupt_when_asked,
            device=best_device(),
        )

    def _synthetic(self, division: Division, adapted: Adapted, mode: ExpressionMode) -> PairSet:
        folder = self.pairs_folder(division, mode)
        with journal.recorded(f"synthesise, {division.label}, {mode}", self.folder, belongs_to=folder.name):
            return synthesise(
                folder,
                self.release,
                adapted.adaptation,
                self.spots,
                per_spot=self.design.highest,
                mode=mode,
                sampling=self.design.sampling,
                seed=0,
                overwrite=True,
                progress=self.progress,
                stop=self._stop,
            )

    def _adapter_of(self, division: Division) -> Path:
        return self.folder / "adapters" / self.key(division)

    def _is_sites_own(self, settings: AdaptationSettings) -> bool:
        """Whether the site's own adapter, if there is one, is what these settings give."""
        try:
            record: AdaptationRecord = load_adaptation(self._adapter).record
        except BadInput:
            return False
        return (record.weights_sha256, record.spots, record.settings) == (
            self.release.fingerprint,
            self.spots.fingerprint,
            settings,
        )

    def interrupt_when_asked(self) -> None:
        """Stop when the user asks for it.

        Raises:
            Interrupted: they did.
        """
        if self._stop():
            raise Interrupted("Stopped; everything that is finished is kept, the same command goes on.")
