"""Arms of a comparison: predictors of gene expression that differ in the data they are trained on, and in nothing else.

Every arm takes the same number of optimiser steps of the same batch size, from the same first weights for the same seed; the
arms that go by epochs, as the paper trains, are the exception and say so in their name. Real pairs alone are learned by heart
in a number of steps that real and synthetic pairs together need, so arms without synthetic pairs are trained for shorter times
as well, and count with whichever length has the lowest error on the held-out spots themselves: no comparison with them can
flatter synthetic pairs. What was trained is kept as cells.

K = seeds, T = held-out spots, G = genes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from c2lst_client.cotrain_cells import Cells, Forgetful, digest
from c2lst_client.evaluate import statistics
from c2lst_client.evaluate.results import Arm, ArmKind, arm_label
from c2lst_client.predictor import fit_predictor, predict
from c2lst_client.predictor_data import Pairs, Part, batches
from c2lst_shared.presets import PredictorConfig
from c2lst_shared.progress import Progress, Silent

SYNTHETIC = "synthetic"
REAL_SHARE = (
    0.5  # of each batch of an arm with real and synthetic pairs, whatever the ratio: all of the real spots stay in view
)
SHORTER = (1 / 3, 2 / 3)  # of the steps: the other lengths of arms without synthetic pairs


class Recipe(NamedTuple):
    """What an arm is trained on."""

    kind: ArmKind
    real: bool = True
    ratio: int | None = None  # synthetic pairs per real training spot
    augment: bool = False
    pairs: str = SYNTHETIC  # which pairs: a name among those that the trainer was given
    epochs: int | None = None  # passes over all its data, in place of the number of steps that arms have in common

    @property
    def label(self) -> str:
        """The arm in words."""
        return arm_label(self.kind, self.ratio, self.epochs)


class ArmTrainer:
    """Makes the predictions of arms and seeds, those in `cells` without training."""

    def __init__(
        self,
        real: Pairs,
        held_out: Pairs,
        pairs: Mapping[str, Pairs],
        config: PredictorConfig,
        *,
        cells: Cells | None = None,
        progress: Progress | None = None,
        on_step: Callable[[], None] = lambda: None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take what the arms of one split have in common.

        Args:
            real: the training spots.
            held_out: T spots that neither the predictor nor the generator has seen.
            pairs: name -> pairs in rounds over the training spots: the first n times as many are those of ratio n.
            config: of the predictor and its training.
            cells: keeps what was trained; None keeps nothing.
            progress: told of each optimiser step.
            on_step: called after each optimiser step; what it raises stops the training.
            device: where to train.
        """
        self._real, self._held_out, self._pairs, self._config = real, held_out, pairs, config
        self._cells, self._progress, self._on_step = cells or Forgetful(), progress or Silent(), on_step
        self._device = device
        training = config.model_dump_json(exclude={"steps", "seeds", "ratios"})
        self._spots = digest(training, str(device), *_contents(real, len(real)), *_contents(held_out, len(held_out)))

    def run(self, arms: Sequence[Recipe], seeds: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
        """Return K x T x G predictions under the label of each arm; the mean arm needs no seed and has K = 1.

        Each of its lengths is under `length_label` as well.

        Raises:
            C2lstError: training diverged.
        """
        lengths = {recipe: lengths_of(recipe, len(self._real), self._config) for recipe in arms}
        keys = {
            (recipe, steps, seed): self._key(recipe, steps, seed)
            for recipe in arms
            for steps in lengths[recipe]
            for seed in seeds
        }
        found = {cell: stored for cell, key in keys.items() if (stored := self._cells.get(key)) is not None}
        self._progress.start("co-training", sum(steps for _, steps, _ in keys), done=sum(steps for _, steps, _ in found))
        for cell, key in keys.items():
            if cell not in found:
                found[cell] = self._train(*cell)
                self._cells.put(key, found[cell])
        mean = np.broadcast_to(self._real.expression.mean(axis=0), self._held_out.expression.shape)[None]
        predictions = {}
        for recipe in arms:
            of_length = {steps: np.stack([found[recipe, steps, seed] for seed in seeds]) for steps in lengths[recipe]}
            predictions[recipe.label] = min(of_length.values(), key=self._error, default=mean)
            predictions |= {length_label(recipe.label, steps): each for steps, each in of_length.items()}
        return predictions

    def _error(self, predictions: npt.NDArray[np.float32]) -> float:
        return float(np.abs(predictions - self._held_out.expression).mean(dtype=np.float64))

    def _train(self, recipe: Recipe, steps: int, seed: int) -> npt.NDArray[np.float32]:
        def on_step() -> None:
            self._progress.advance(1, f"{length_label(recipe.label, steps)}, seed {seed}")
            self._on_step()

        drawn = batches(self._parts(recipe), torch.Generator().manual_seed(seed), augment=recipe.augment)
        genes = self._real.expression.shape[1]
        config = self._config.model_copy(update={"steps": steps})
        network = fit_predictor(config, genes, drawn, seed=seed, device=self._device, on_step=on_step)
        return predict(network, self._held_out)

    def _parts(self, recipe: Recipe) -> list[Part]:
        batch, spots = self._config.batch, len(self._real)
        if recipe.ratio is None:
            return [Part(self._real, spots, batch)]
        # By epochs every pair comes equally often, as in the paper; else all of the real spots stay in view.
        share = 1 / (1 + recipe.ratio) if recipe.epochs else REAL_SHARE
        from_real = max(round(share * batch), 1) if recipe.real else 0
        generated = Part(self._pairs[recipe.pairs], recipe.ratio * spots, batch - from_real)
        return [Part(self._real, spots, from_real), generated] if from_real else [generated]

    def _key(self, recipe: Recipe, steps: int, seed: int) -> str:
        """Name a cell by all that its predictions depend on; arms without synthetic pairs outlive a new set of those."""
        pairs = [] if recipe.ratio is None else _contents(self._pairs[recipe.pairs], recipe.ratio * len(self._real))
        name = recipe.label.replace(" ", "").replace(",", "-")
        return f"{name}-{steps}-{seed}-{digest(self._spots, str(recipe), str(REAL_SHARE), *pairs)[:24]}"


def lengths_of(recipe: Recipe, spots: int, config: PredictorConfig) -> tuple[int, ...]:
    """Return for how many optimiser steps an arm is trained, rising: once for each; never the mean, which learns nothing."""
    if recipe.kind == "mean":
        return ()
    if recipe.epochs is not None:
        pairs = spots * (int(recipe.real) + (recipe.ratio or 0))
        return (recipe.epochs * math.ceil(pairs / config.batch),)
    if recipe.ratio is None:
        return tuple(sorted({*_shorter_steps(config), config.steps}))
    return (config.steps,)


def length_label(arm: str, steps: int) -> str:
    """Return an arm of one length in words."""
    return f"{arm}, {steps:,} steps"


def lengths_in_words(config: PredictorConfig) -> str:
    """Say for how many steps the arms of a comparison are trained."""
    return (
        f"took {config.steps:,} optimiser steps of {config.batch} patches ({config.architecture}), {config.seeds} seeds each; "
        f"arms without synthetic pairs also {' and '.join(f'{each:,}' for each in _shorter_steps(config))}, and they count "
        "with the length that errs least on the held-out spots"
    )


def _shorter_steps(config: PredictorConfig) -> list[int]:
    return [max(1, round(share * config.steps)) for share in SHORTER]


def measure_arm(
    recipe: Recipe,
    seeds: Sequence[int],
    truth: npt.NDArray[np.float32],
    predictions: npt.NDArray[np.float32],
    resamples: statistics.Resamples,
) -> Arm:
    """Measure an arm's predictions, K x T x G, against the measured expression, T x G."""
    errors = np.abs(predictions - truth)  # K x T x G
    r = np.stack([statistics.pearson_per_gene(truth, one) for one in predictions])  # K x G
    return Arm(
        kind=recipe.kind,
        ratio=recipe.ratio,
        epochs=recipe.epochs,
        seeds=[] if recipe.kind == "mean" else list(seeds),
        mae_per_seed=errors.mean(axis=(1, 2)).tolist(),
        pearson_per_seed=r.mean(axis=1).tolist(),
        mae=statistics.mae_interval(errors.mean(axis=2, dtype=np.float64), resamples),
        pearson=statistics.pearson_interval(truth, predictions, resamples),
        mae_per_gene=errors.mean(axis=(0, 1)).tolist(),
        pearson_per_gene=r.mean(axis=0).tolist(),
    )


def _contents(pairs: Pairs, size: int) -> list[str]:
    """Return digests of the first `size` pairs, read a few at a time."""
    parts = [digest(pairs.patches(range(start, min(start + 256, size)))) for start in range(0, size, 256)]
    return [*parts, digest(pairs.expression[:size])]
