"""One study from beginning to end: division after division, then the tables, the verdict, the files.

A study that was stopped goes on where it was; one with another design finds again what both have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from c2lst_client.adapted import Adapted
from c2lst_client.arms import measure_arm
from c2lst_client.evaluate.conditioning import measure_conditioning
from c2lst_client.evaluate.results import ConditioningResult
from c2lst_client.evaluate.statistics import resample
from c2lst_client.study import compare
from c2lst_client.study.design import Division, check_design
from c2lst_client.study.pooled import DivisionErrors, Pooled
from c2lst_client.study.results import DivisionResult, StudyResult
from c2lst_client.study.verdict import write_verdict
from c2lst_client.study.workshop import Workshop
from c2lst_shared import journal
from c2lst_shared.canonical import fingerprint

Say = Callable[[str], None]


def run_study(workshop: Workshop, site: str, say: Say) -> StudyResult:
    """Run every division of a study and put what was found together.

    Args:
        workshop: makes and keeps adapters, pairs and predictors; its design says what is run.
        site: name of the site.
        say: told which division is being run.

    Raises:
        BadInput: the slide is too small for the design.
        Interrupted: stopped; the same call goes on.
    """
    design, spots = workshop.design, workshop.spots
    check_design(design, len(spots))
    results, errors = [], []
    for number, division in enumerate(design.divisions, 1):
        say(f"Division {number} of {len(design.divisions)}: {division.label}")
        result, of_arms = _run_division(workshop, division)
        results.append(result)
        errors.append(of_arms)
    return _together(workshop, site, results, errors)


def _run_division(workshop: Workshop, division: Division) -> tuple[DivisionResult, DivisionErrors]:
    design = workshop.design
    adapted = workshop.adapted(division)
    pairs = workshop.pairs(division, adapted)
    arms = design.arms(division)
    seeds = list(range(design.predictor.seeds))
    with journal.recorded(f"co-train, {division.label}", workshop.folder, belongs_to=workshop.key(division)):
        predictions = workshop.trainer(adapted, pairs).run(arms, seeds)
    _, rows = adapted.rows
    truth, centres = adapted.expression[rows], workshop.spots.centres[rows]
    resamples = resample(len(rows), len(seeds), centres=centres, seed=division.seed)
    split = adapted.adaptation.split
    result = DivisionResult(
        label=division.label,
        method=division.method,
        fraction=division.fraction,
        seed=division.seed,
        train_spots=len(split.train),
        test_spots=len(split.test),
        overlapping=split.overlapping,
        arms=[measure_arm(recipe, seeds, truth, predictions[recipe.label], resamples) for recipe in arms],
        conditioning=_conditioning(workshop, division, adapted) if division.seed == 0 else None,
    )
    of_arm = {label: np.abs(each - truth).mean(axis=2, dtype=np.float64) for label, each in predictions.items()}
    return result, DivisionErrors(rows, of_arm)


def _conditioning(workshop: Workshop, division: Division, adapted: Adapted) -> ConditioningResult:
    generated = workshop.held_out(division, adapted)
    train_rows, test_rows = adapted.rows
    return measure_conditioning(
        adapted.tissue(train_rows),
        adapted.tissue(test_rows),
        generated.patches(range(len(generated)))[:, None],
        barcodes=generated.barcodes,
        sampling=workshop.design.sampling,
        centres=workshop.spots.centres[test_rows],
    )


def _together(workshop: Workshop, site: str, results: list[DivisionResult], errors: Sequence[DivisionErrors]) -> StudyResult:
    design, spots, manifest = workshop.design, workshop.spots, workshop.release.manifest
    kinds = sorted({(each.method, each.fraction) for each in results}, key=lambda kind: (kind[0] != "random", kind[1]))
    pooled = {
        kind: Pooled(
            [each for result, each in zip(results, errors, strict=True) if (result.method, result.fraction) == kind],
            spots.centres,
        )
        for kind in kinds
    }
    main = [each for each in results if (each.method, each.fraction) == ("random", design.main)]
    points = compare.efficiency(design, kinds, list(pooled.values()), results)
    ratios = compare.ratio_table(design, pooled["random", design.main], main)
    controls = [
        each for method in ("random", "blocked") for each in compare.controls(design, method, pooled[method, design.main])
    ]
    seconds = _seconds(workshop.folder)
    return StudyResult(
        site=site,
        release=manifest.name,
        preset=manifest.preset,
        made_from=fingerprint(workshop.release.fingerprint, spots.fingerprint, design),
        design=design,
        genes=len(results[0].arms[0].mae_per_gene),
        spots=len(spots),
        divisions=results,
        efficiency=points,
        ratios=ratios,
        controls=controls,
        method=(
            f"Every arm without epochs in its name took {design.predictor.steps} optimiser steps of {design.predictor.batch} "
            f"patches ({design.predictor.architecture}), {design.predictor.seeds} seeds each. Intervals are 95 % bootstrap "
            f"intervals over {pooled['random', design.main].units}, the same draws for every arm."
        ),
        verdict=write_verdict(design, points, ratios, controls, seconds),
        seconds=seconds,
    )


def _seconds(folder: Path) -> dict[str, float]:
    """Sum the journal by kind of work."""
    found: dict[str, float] = {}
    for entry in journal.read(folder).entries:
        kind = entry.step.partition(",")[0]
        found[kind] = found.get(kind, 0.0) + entry.seconds
    return found
