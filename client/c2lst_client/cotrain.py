"""Co-training: does a predictor of gene expression get better with synthetic pairs? Arms that differ in their data alone.

Every arm takes the same number of optimiser steps of the same batch size, from the same first weights for the same seed. The
settings of training are those that suit real pairs alone, so that a poor baseline cannot make synthetic pairs look good. What
the verdict rests on is fixed here, before looking: real + synthetic at the highest ratio against real only.

K = seeds, T = held-out spots, G = genes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from c2lst_client.cotrain_cells import Cells, Forgetful, digest
from c2lst_client.evaluate import statistics
from c2lst_client.evaluate.results import Arm, ArmKind, Comparison, CotrainResult, arm_label
from c2lst_client.predictor import fit_predictor, predict
from c2lst_client.predictor_data import Pairs, Part, batches
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import PredictorConfig
from c2lst_shared.progress import Progress, Silent

Floats = npt.NDArray[np.floating]

REAL_SHARE = (
    0.5  # of each batch of an arm with real and synthetic pairs, whatever the ratio: all of the real spots stay in view
)
TRUTH = "truth"


class Recipe(NamedTuple):
    """What an arm is trained on."""

    kind: ArmKind
    real: bool = True
    ratio: int | None = None  # synthetic pairs per real training spot
    augment: bool = False

    @property
    def label(self) -> str:
        """The arm in words."""
        return arm_label(self.kind, self.ratio)


def recipes(ratios: Sequence[int]) -> list[Recipe]:
    """Return the arms for these ratios, in the order in which they are shown."""
    highest = max(ratios)
    return [
        Recipe("mean"),
        Recipe("real"),
        Recipe("real+augmentation", augment=True),
        Recipe("synthetic", real=False, ratio=highest),
        *(Recipe("real+synthetic", ratio=ratio) for ratio in sorted(set(ratios))),
        Recipe("real+synthetic+augmentation", ratio=highest, augment=True),
    ]


def cotrain(
    real: Pairs,
    held_out: Pairs,
    synthetic: Pairs,
    config: PredictorConfig,
    *,
    genes: Sequence[str],
    barcodes: Sequence[str],
    centres: Floats | None = None,
    seed: int = 0,
    cells: Cells | None = None,
    progress: Progress | None = None,
    on_step: Callable[[], None] = lambda: None,
    device: torch.device | str = "cpu",
) -> tuple[CotrainResult, dict[str, npt.NDArray[np.float32]]]:
    """Train every arm with every seed, and compare them on the held-out spots.

    Args:
        real: the training spots.
        held_out: T spots that neither the predictor nor the generator has seen.
        synthetic: pairs in rounds over the training spots: the first n times as many are those of ratio n. Read when needed.
        config: of the predictor, its training, and the arms.
        genes: G names of the columns of expression.
        barcodes: T names of the held-out spots.
        centres: T x 2 positions of the held-out spots on the slide; with them intervals respect that neighbours are alike.
        seed: the seeds of training are this one and the next ones.
        cells: keeps what was trained, so that the same call after a stop goes on; None keeps nothing.
        progress: told of each optimiser step.
        on_step: called after each optimiser step; what it raises stops the co-training.
        device: where to train.

    Returns:
        What was measured, and the predictions: `truth` and each arm's label -> T x G, the mean over seeds.

    Raises:
        BadInput: the pairs do not fit each other, or there are too few of them.
        C2lstError: training diverged.
    """
    _check(real, held_out, synthetic, config, genes, barcodes)
    arms = recipes(config.ratios)
    seeds = list(range(seed, seed + config.seeds))
    trainer = _Trainer(real, held_out, synthetic, config, cells or Forgetful(), progress or Silent(), on_step, device)
    predictions = trainer.run(arms, seeds)
    resamples = statistics.resample(len(held_out), len(seeds), centres=centres, seed=seed)
    measured = [_measure(recipe, seeds, held_out.expression, predictions[recipe.label], resamples) for recipe in arms]
    comparisons = _compare(arms, held_out.expression, predictions, resamples)
    primary, against_augmentation, against_mean = comparisons[:3]
    result = CotrainResult(
        genes=list(genes),
        train_spots=len(real),
        test_spots=len(held_out),
        test_barcodes=list(barcodes),
        steps=config.steps,
        architecture=config.architecture,
        arms=measured,
        comparisons=comparisons,
        primary=primary,
        helped=statistics.direction(primary.change) == "better",
        verdict=statistics.verdict(primary, against_augmentation, against_mean),
        method=_method(config, resamples),
    )
    return result, {TRUTH: held_out.expression} | {label: each.mean(axis=0) for label, each in predictions.items()}


class _Trainer:
    """Makes the predictions of every arm and seed, those in `cells` without training."""

    def __init__(
        self,
        real: Pairs,
        held_out: Pairs,
        synthetic: Pairs,
        config: PredictorConfig,
        cells: Cells,
        progress: Progress,
        on_step: Callable[[], None],
        device: torch.device | str,
    ) -> None:
        self._real, self._held_out, self._synthetic = real, held_out, synthetic
        self._config, self._cells, self._progress, self._on_step, self._device = config, cells, progress, on_step, device
        training = config.model_dump_json(exclude={"seeds", "ratios"})
        self._spots = digest(training, str(device), *_contents(real, len(real)), *_contents(held_out, len(held_out)))

    def run(self, arms: Sequence[Recipe], seeds: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
        """Return K x T x G predictions for each arm; the mean arm needs no seed and has K = 1."""
        keys = {(recipe, seed): self._key(recipe, seed) for recipe in arms if recipe.kind != "mean" for seed in seeds}
        found = {cell: stored for cell, key in keys.items() if (stored := self._cells.get(key)) is not None}
        self._progress.start("co-training", len(keys) * self._config.steps, done=len(found) * self._config.steps)
        for cell, key in keys.items():
            if cell not in found:
                found[cell] = self._train(*cell)
                self._cells.put(key, found[cell])
        mean = np.broadcast_to(self._real.expression.mean(axis=0), self._held_out.expression.shape)
        return {
            recipe.label: mean[None] if recipe.kind == "mean" else np.stack([found[recipe, seed] for seed in seeds])
            for recipe in arms
        }

    def _train(self, recipe: Recipe, seed: int) -> npt.NDArray[np.float32]:
        def on_step() -> None:
            self._progress.advance(1, f"{recipe.label}, seed {seed}")
            self._on_step()

        drawn = batches(self._parts(recipe), torch.Generator().manual_seed(seed), augment=recipe.augment)
        genes = self._real.expression.shape[1]
        network = fit_predictor(self._config, genes, drawn, seed=seed, device=self._device, on_step=on_step)
        return predict(network, self._held_out)

    def _parts(self, recipe: Recipe) -> list[Part]:
        batch, spots = self._config.batch, len(self._real)
        if recipe.ratio is None:
            return [Part(self._real, spots, batch)]
        from_real = round(REAL_SHARE * batch) if recipe.real else 0
        generated = Part(self._synthetic, recipe.ratio * spots, batch - from_real)
        return [Part(self._real, spots, from_real), generated] if from_real else [generated]

    def _key(self, recipe: Recipe, seed: int) -> str:
        """Name a cell by all that its predictions depend on; arms without synthetic pairs outlive a new set of those."""
        pairs = [] if recipe.ratio is None else _contents(self._synthetic, recipe.ratio * len(self._real))
        return f"{recipe.label.replace(' ', '')}-{seed}-{digest(self._spots, str(recipe), str(REAL_SHARE), *pairs)[:24]}"


def _contents(pairs: Pairs, size: int) -> list[str]:
    """Return digests of the first `size` pairs, read a few at a time."""
    parts = [digest(pairs.patches(range(start, min(start + 256, size)))) for start in range(0, size, 256)]
    return [*parts, digest(pairs.expression[:size])]


def _measure(
    recipe: Recipe,
    seeds: list[int],
    truth: npt.NDArray[np.float32],
    predictions: npt.NDArray[np.float32],
    resamples: statistics.Resamples,
) -> Arm:
    errors = np.abs(predictions - truth)  # K x T x G
    r = np.stack([statistics.pearson_per_gene(truth, one) for one in predictions])  # K x G
    return Arm(
        kind=recipe.kind,
        ratio=recipe.ratio,
        seeds=[] if recipe.kind == "mean" else seeds,
        mae_per_seed=errors.mean(axis=(1, 2)).tolist(),
        pearson_per_seed=r.mean(axis=1).tolist(),
        mae=statistics.mae_interval(errors.mean(axis=2, dtype=np.float64), resamples),
        pearson=statistics.pearson_interval(truth, predictions, resamples),
        mae_per_gene=errors.mean(axis=(0, 1)).tolist(),
        pearson_per_gene=r.mean(axis=0).tolist(),
    )


def _compare(
    arms: Sequence[Recipe],
    truth: npt.NDArray[np.float32],
    predictions: Mapping[str, npt.NDArray[np.float32]],
    resamples: statistics.Resamples,
) -> list[Comparison]:
    """Return the comparisons, the three that the verdict is made of first: with real only, augmentation and the mean."""
    labels = [recipe.label for recipe in arms]
    mean, real, augmented = labels[:3]
    best, both = labels[-2:]  # the highest ratio, without and with augmentation
    pairs = [(best, real), (best, augmented), (best, mean), (both, augmented), (real, mean)]
    pairs += [(label, real) for label in labels if label not in {mean, real, best}]
    errors = {label: np.abs(each - truth).mean(axis=2, dtype=np.float64) for label, each in predictions.items()}
    return [
        Comparison(arm=arm, against=other, change=statistics.change_interval(errors[arm], errors[other], resamples))
        for arm, other in pairs
    ]


def _method(config: PredictorConfig, resamples: statistics.Resamples) -> str:
    return (
        f"Each arm took {config.steps} optimiser steps of {config.batch} patches with {config.seeds} seeds; in arms with real "
        f"and synthetic pairs {REAL_SHARE:.0%} of every batch was real. Intervals are 95 % percentile intervals of "
        f"{statistics.RESAMPLES} bootstrap draws of {resamples.units} and of the seeds, the same draws for every arm."
    )


def _check(
    real: Pairs, held_out: Pairs, synthetic: Pairs, config: PredictorConfig, genes: Sequence[str], barcodes: Sequence[str]
) -> None:
    needed = max(config.ratios, default=0) * len(real)
    if not config.ratios or config.batch < 2:
        raise BadInput(
            f"Co-training needs a ratio and a batch of at least 2, not {config.ratios} and {config.batch}; change the preset."
        )
    if len(real) < 2 or len(held_out) < 3 or len(held_out) != len(barcodes):
        raise BadInput(
            f"Co-training needs at least 2 training and 3 held-out spots, each with a name, not {len(real)} and "
            f"{len(held_out)} with {len(barcodes)} names; split the spots again."
        )
    if len(synthetic) < needed:
        raise BadInput(
            f"There are {len(synthetic)} synthetic pairs, but ratio {max(config.ratios)} for {len(real)} training spots needs "
            f"{needed}; run `c2lst-client synthesise --per-spot {max(config.ratios)} --overwrite`, or lower the highest ratio."
        )
    widths = {len(genes), *(pairs.expression.shape[1] for pairs in (real, held_out, synthetic))}
    if len(widths) > 1:
        raise BadInput(
            f"The pairs have expression of different widths ({sorted(widths)} genes); make all of them with one panel."
        )
