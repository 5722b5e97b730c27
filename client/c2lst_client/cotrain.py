"""Co-training: does a predictor of gene expression get better with synthetic pairs? Arms that differ in their data alone.

Every arm takes the same number of optimiser steps of the same batch size, from the same first weights for the same seed; arms
without synthetic pairs also fewer, if those suit them better (`arms.py`), so that a poor baseline cannot make synthetic pairs
look good. What the verdict rests on is fixed here, before looking: real + synthetic at the highest ratio against real only.

K = seeds, T = held-out spots, G = genes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from c2lst_client.arms import REAL_SHARE, SYNTHETIC, ArmTrainer, Recipe, length_label, lengths_in_words, measure_arm
from c2lst_client.cotrain_cells import Cells
from c2lst_client.evaluate import statistics
from c2lst_client.evaluate.results import Comparison, CotrainResult
from c2lst_client.predictor_data import Pairs
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import PredictorConfig
from c2lst_shared.progress import Progress

Floats = npt.NDArray[np.floating]

TRUTH = "truth"


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
    trainer = ArmTrainer(
        real,
        held_out,
        {SYNTHETIC: synthetic},
        config,
        cells=cells,
        progress=progress,
        on_step=on_step,
        device=device,
    )
    predictions = trainer.run(arms, seeds)
    resamples = statistics.resample(len(held_out), len(seeds), centres=centres, seed=seed)
    measured = [measure_arm(recipe, seeds, held_out.expression, predictions[recipe.label], resamples) for recipe in arms]
    comparisons = _compare(arms, config.steps, held_out.expression, predictions, resamples)
    primary, as_long, against_augmentation, against_mean = comparisons[:4]
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
        as_long=as_long,
        helped=statistics.direction(primary.change) == "better",
        verdict=statistics.verdict(primary, as_long, against_augmentation, against_mean),
        method=_method(config, resamples),
    )
    return result, {TRUTH: held_out.expression} | {arm.label: predictions[arm.label].mean(axis=0) for arm in arms}


def _compare(
    arms: Sequence[Recipe],
    steps: int,
    truth: npt.NDArray[np.float32],
    predictions: Mapping[str, npt.NDArray[np.float32]],
    resamples: statistics.Resamples,
) -> list[Comparison]:
    """Return the comparisons, first those that the verdict is made of: real only, also of `steps`, augmentation, the mean."""
    labels = [recipe.label for recipe in arms]
    mean, real, augmented = labels[:3]
    best, both = labels[-2:]  # the highest ratio, without and with augmentation
    pairs = [(best, real), (best, length_label(real, steps)), (best, augmented), (best, mean), (both, augmented), (real, mean)]
    pairs += [(label, real) for label in labels if label not in {mean, real, best}]
    errors = {label: np.abs(each - truth).mean(axis=2, dtype=np.float64) for label, each in predictions.items()}
    return [
        Comparison(arm=arm, against=other, change=statistics.change_interval(errors[arm], errors[other], resamples))
        for arm, other in pairs
    ]


def _method(config: PredictorConfig, resamples: statistics.Resamples) -> str:
    return (
        f"Each arm {lengths_in_words(config)}. In arms with real and synthetic pairs {REAL_SHARE:.0%} of every batch was real. "
        f"Intervals are 95 % percentile intervals of {statistics.RESAMPLES} bootstrap draws of {resamples.units} and of the "
        "seeds, the same draws for every arm."
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
