"""Made-up results of a site, as a report takes them: two kinds of tissue in two halves of a slide."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Arm, ArmKind, Comparison, ConditioningResult, CotrainResult, Interval
from c2lst_client.report.inputs import TRUTH, PatchPairs, ReportInputs, SlideView, SpotTable
from c2lst_client.spots.split import Split
from c2lst_shared.journal import Entry
from fakes.blobs import blob_patches

PITCH = 70.0  # slide pixels between spots
CO_TRAINED = "real + synthetic x5"


def spot_table(side: int = 7, genes: tuple[str, ...] = tuple(f"Gene{i}" for i in range(12))) -> SpotTable:
    """A square of spots; even genes are high in its left half, odd ones in its right half."""
    rng = np.random.default_rng(0)
    grid = np.arange(side)
    centres = PITCH * (1.5 + np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype(float))
    left = np.where(centres[:, 0] < centres[:, 0].mean(), 1.0, -1.0)
    sign = np.where(np.arange(len(genes)) % 2, -1.0, 1.0)
    expression = left[:, None] * sign + rng.normal(0, 0.5, (len(centres), len(genes)))
    return SpotTable([f"spot-{i:04}" for i in range(len(centres))], list(genes), expression, centres, um_per_px=2.5)


def split_of(spots: SpotTable, *, overlapping: int = 3) -> Split:
    """Every fourth spot trains."""
    train, test = spots.barcodes[::4], [barcode for i, barcode in enumerate(spots.barcodes) if i % 4]
    return Split(
        method="random",
        fraction=0.25,
        seed=7,
        patch_um=150.0,
        train=tuple(train),
        test=tuple(test),
        dropped=(),
        overlapping=overlapping,
    )


def arm(
    kind: ArmKind, truth: npt.NDArray[np.float64], *, noise: float, ratio: int | None = None
) -> tuple[Arm, npt.NDArray[np.float64]]:
    """An arm whose predictions are the truth with noise, and those predictions."""
    predicted = 0.6 * truth + np.random.default_rng(5).normal(0, noise, truth.shape)
    errors = np.abs(predicted - truth)
    correlations = [float(np.corrcoef(predicted[:, g], truth[:, g])[0, 1]) for g in range(truth.shape[1])]
    mae, pearson = float(errors.mean()), float(np.mean(correlations))
    return Arm(
        kind=kind,
        ratio=ratio,
        seeds=[0, 1],
        mae_per_seed=[mae - 0.001, mae + 0.001],
        pearson_per_seed=[pearson, pearson],
        mae=Interval(value=mae, low=mae - 0.02, high=mae + 0.02),
        pearson=Interval(value=pearson, low=pearson - 0.05, high=pearson + 0.05),
        mae_per_gene=errors.mean(axis=0).tolist(),
        pearson_per_gene=correlations,
    ), predicted


def cotrain_result(
    spots: SpotTable, split: Split, change: tuple[float, float, float] = (-0.021, -0.03, -0.012)
) -> tuple[CotrainResult, dict[str, npt.NDArray[np.float64]]]:
    """A co-training result with `change` (value, low, high) as its primary comparison, and the predictions."""
    rows = [spots.barcodes.index(barcode) for barcode in split.test]
    truth = np.asarray(spots.expression, dtype=float)[rows]
    made = [arm("real", truth, noise=0.5), arm("real+synthetic", truth, noise=0.4, ratio=5)]
    value, low, high = change
    primary = Comparison(arm=CO_TRAINED, against="real", change=Interval(value=value, low=low, high=high))
    result = CotrainResult(
        genes=list(spots.genes),
        train_spots=len(split.train),
        test_spots=len(split.test),
        test_barcodes=list(split.test),
        steps=300,
        architecture="small_cnn",
        arms=[one for one, _ in made],
        comparisons=[primary],
        primary=primary,
        helped=high < 0,
        verdict=f"The error changes by {100 * value:+.1f} % (95 % interval {100 * low:+.1f} % to {100 * high:+.1f} %). So.",
        method="Each arm takes 300 steps.",
    )
    return result, {TRUTH: truth} | {one.label: predicted for one, predicted in made}


def conditioning_result(split: Split, *, r: float = 0.71) -> ConditioningResult:
    """Nuclear fractions that rise together; the correlation itself is set."""
    real = np.linspace(0.05, 0.35, len(split.test))
    return ConditioningResult(
        r=Interval(value=r, low=r - 0.1, high=r + 0.08),
        concordance=Interval(value=0.6, low=0.5, high=0.7),
        shuffled_r=Interval(value=0.01, low=-0.15, high=0.17),
        ridge_r=Interval(value=0.78, low=0.7, high=0.84),
        guidance=3.0,
        sampler="unipc",
        steps=25,
        samples_per_spot=2,
        barcodes=list(split.test),
        real=real.tolist(),
        synthetic=(0.8 * real + 0.02).tolist(),
    )


def patch_pairs(split: Split, *, px: int = 32) -> PatchPairs:
    """A real and a generated patch for every held-out spot."""
    density = np.linspace(0, 1, len(split.test))
    return PatchPairs(list(split.test), blob_patches(density, px=px, seed=1), blob_patches(density, px=px, seed=2))


def full_inputs(spots: SpotTable | None = None, *, site: str = "north clinic", px: int = 32) -> ReportInputs:
    """A report with nothing missing."""
    spots = spots or spot_table()
    split = split_of(spots)
    cotrain, predictions = cotrain_result(spots, split)
    return ReportInputs(
        site=site,
        release="mob/3",
        preset="tiny",
        created=datetime(2025, 5, 2, 10, 30, tzinfo=UTC),
        spots=spots,
        split=split,
        slide=SlideView(blob_patches([0.4], px=200, seed=3)[0], slide_px_per_px=4.0),
        pairs=patch_pairs(split, px=px),
        conditioning=conditioning_result(split),
        cotrain=cotrain,
        predictions=predictions,
        adaptation_losses=(0.1 / np.sqrt(np.arange(1, 501))).tolist(),
        pretraining={"validation_loss": 0.0417},
        settings={"Adapter fingerprint": "9f2cab31"},
        journal=[
            Entry(
                step="adapt", belongs_to="a", finished=datetime(2025, 5, 2, 10, 0, tzinfo=UTC), seconds=125, peak_rss_mib=2048
            )
        ],
        privacy="A membership attack had an AUC of 0.52 (0.45 to 0.59).",
    )


def bare_inputs() -> ReportInputs:
    """A report before anything but preparing has run."""
    spots = spot_table()
    created = datetime(2025, 5, 2, 10, 30, tzinfo=UTC)
    return ReportInputs(
        site="north clinic", release="mob/3", preset="tiny", created=created, spots=spots, split=split_of(spots)
    )
