"""One study from beginning to end: division after division, then the tables, the verdict, the files.

A study that was stopped goes on where it was; one with another design finds again what both have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from c2lst_client.arms import lengths_in_words, measure_arm
from c2lst_client.evaluate.conditioning import measure_conditioning
from c2lst_client.evaluate.results import ConditioningResult
from c2lst_client.evaluate.statistics import resample
from c2lst_client.spots.split import MIN_PART, Method
from c2lst_client.study import compare
from c2lst_client.study.coherence import measure_coherence
from c2lst_client.study.correspondence import measure_correspondence
from c2lst_client.study.design import Division, StudyDesign, left_out
from c2lst_client.study.disclosure import measure_disclosure
from c2lst_client.study.making import make_division
from c2lst_client.study.pooled import DivisionErrors, Pooled
from c2lst_client.study.quality import measure_quality
from c2lst_client.study.results import DivisionResult, StudyResult
from c2lst_client.study.subject import Subject
from c2lst_client.study.verdict import write_verdict
from c2lst_client.study.workshop import Workshop
from c2lst_shared import journal
from c2lst_shared.canonical import fingerprint
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Say = Callable[[str], None]

Measure = Callable[[Subject], tuple[Any, dict[str, "Figure"]]]


class Study(NamedTuple):
    """What a study found, and the figures that need more than its numbers."""

    result: StudyResult
    figures: Mapping[str, Figure]


def run_study(
    workshop: Workshop, site: str, say: Say, *, encoder: str | Path = "built-in", hovernet: Path | None = None
) -> Study:
    """Run every division of a study and put what was found together.

    Args:
        workshop: makes and keeps adapters, pairs and predictors; its design says what is run.
        site: name of the site.
        say: told which division is being run.
        encoder: that turns patches into features: "built-in", or a local path (docs/encoders.md).
        hovernet: weights for cell types; None leaves them out.

    Raises:
        Interrupted: stopped; the same call goes on.
    """
    design, spots = workshop.design, workshop.spots
    # name of a field of the result -> the kind of division that it is measured on, the first of them, and how
    measures: dict[str, tuple[Method, Measure]] = {
        "quality": ("random", partial(measure_quality, encoder=encoder, hovernet=hovernet)),
        "correspondence": ("random", measure_correspondence),
        "coherence": ("random", measure_coherence),
        "disclosure": ("blocked", measure_disclosure),
    }
    results, errors, notes = [], [], _notes_on(design, len(spots))
    figures: dict[str, Figure] = {}
    parts: dict[str, Any] = {}
    for number, division in enumerate(design.divisions, 1):
        say(f"Division {number} of {len(design.divisions)}: {division.label}")
        result, of_arms, subject = _run_division(workshop, division)
        results.append(result)
        errors.append(of_arms)
        for name, (method, measure) in measures.items():
            if subject is not None and division == Division(method, design.main, 0):
                say(f"Tissue of {division.label}: {name}")
                try:
                    parts[name], drawn = measure(subject)
                except BadInput as error:
                    parts[name], drawn = None, {}
                    notes.append(f"The part on {name} could not be measured: {error}")
                figures |= drawn
    return Study(_together(workshop, site, results, errors, parts, notes), figures)


def _notes_on(design: StudyDesign, spots: int) -> list[str]:
    """Say what the slide is too small for."""
    return [
        f"{100 * each:g} % of {spots} spots are fewer than the {MIN_PART} that either part needs: left out."
        for each in left_out(design, spots)
    ]


def _run_division(workshop: Workshop, division: Division) -> tuple[DivisionResult, DivisionErrors, Subject | None]:
    design = workshop.design
    made = make_division(workshop, division)
    adapted, predictions = made.adapted, made.predictions
    seeds = list(range(design.predictor.seeds))
    _, rows = adapted.rows
    truth, centres = adapted.expression[rows], workshop.spots.centres[rows]
    resamples = resample(len(rows), len(seeds), centres=centres, seed=division.seed)
    split = adapted.adaptation.split
    subject = None
    if made.held_out is not None:
        means = {label: each.mean(axis=0) for label, each in predictions.items()}
        generated = made.held_out.patches(range(len(made.held_out)))
        subject = Subject(workshop, division, adapted, made.pairs, generated, means)
    result = DivisionResult(
        label=division.label,
        method=division.method,
        fraction=division.fraction,
        seed=division.seed,
        train_spots=len(split.train),
        test_spots=len(split.test),
        overlapping=split.overlapping,
        arms=[measure_arm(recipe, seeds, truth, predictions[recipe.label], resamples) for recipe in design.arms(division)],
        conditioning=None if subject is None else _conditioning(subject),
    )
    of_arm = {label: np.abs(each - truth).mean(axis=2, dtype=np.float64) for label, each in predictions.items()}
    return result, DivisionErrors(rows, of_arm), subject


def _conditioning(subject: Subject) -> ConditioningResult:
    return measure_conditioning(
        subject.adapted.tissue(subject.train_rows),
        subject.adapted.tissue(subject.rows),
        subject.generated[:, None],
        barcodes=[subject.adapted.spots.barcodes[row] for row in subject.rows],
        sampling=subject.workshop.design.sampling,
        centres=subject.centres,
    )


def _together(
    workshop: Workshop,
    site: str,
    results: list[DivisionResult],
    errors: Sequence[DivisionErrors],
    parts: Mapping[str, Any],
    notes: list[str],
) -> StudyResult:
    design, spots, manifest = workshop.design, workshop.spots, workshop.release.manifest
    kinds = sorted({(each.method, each.fraction) for each in results}, key=lambda kind: (kind[0] != "random", kind[1]))
    of_kind = {
        kind: [(result, each) for result, each in zip(results, errors, strict=True) if (result.method, result.fraction) == kind]
        for kind in kinds
    }
    pooled = {kind: Pooled([each for _, each in found], spots.centres) for kind, found in of_kind.items()}
    points = compare.efficiency(design, kinds, list(pooled.values()), results)
    complete = of_kind["random", design.main][: design.repeats]
    ratios = compare.ratio_table(
        design, Pooled([each for _, each in complete], spots.centres), [result for result, _ in complete]
    )
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
        notes=notes,
        method=(
            f"Every arm without epochs in its name {lengths_in_words(design.predictor)}. Intervals are 95 % bootstrap "
            f"intervals over {pooled['random', design.main].units} (fewer divisions where a table says so), the same draws for "
            "every arm."
        ),
        verdict=write_verdict(design, points, ratios, controls, seconds),
        seconds=seconds,
        **parts,
    )


def _seconds(folder: Path) -> dict[str, float]:
    """Sum the journal by kind of work."""
    found: dict[str, float] = {}
    for entry in journal.read(folder).entries:
        kind = entry.step.partition(",")[0]
        found[kind] = found.get(kind, 0.0) + entry.seconds
    return found
