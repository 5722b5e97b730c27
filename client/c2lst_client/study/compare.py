"""From the errors of all divisions to the study's tables: sampling efficiency, ratios, controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from c2lst_client.arms import Recipe, length_label
from c2lst_client.evaluate.results import Arm, arm_label
from c2lst_client.study.design import AUGMENTED, REAL, Division, StudyDesign, best_arms
from c2lst_client.study.pooled import Pooled
from c2lst_client.study.results import Control, DivisionResult, EfficiencyPoint, RatioRow


def efficiency(
    design: StudyDesign, kinds: Sequence[tuple[str, float]], pooled: Sequence[Pooled], divisions: Sequence[DivisionResult]
) -> list[EfficiencyPoint]:
    """Return the arms that every division has, for each kind of division (method, fraction) with its pooled errors."""
    arms = [recipe.label for recipe in design.arms(Division("random", -1.0, 0))]  # a fraction without the extra arms
    points = []
    for (method, fraction), errors in zip(kinds, pooled, strict=True):
        sizes = [each.train_spots for each in divisions if (each.method, each.fraction) == (method, fraction)]
        points += [
            EfficiencyPoint(
                method=method,
                fraction=fraction,
                train_spots=sizes[0],
                arm=arm,
                error=errors.error(arm),
                against_real=errors.change(arm, REAL),
                against_augmentation=errors.change(arm, AUGMENTED),
            )
            for arm in arms
        ]
    return points


def ratio_table(design: StudyDesign, pooled: Pooled, divisions: Sequence[DivisionResult]) -> list[RatioRow]:
    """Return the rows of the ratio table, from the divisions that have all of its arms."""
    recipes = design.arms(Division("random", design.main, 0))
    wanted = [
        recipe
        for recipe in recipes
        if recipe.epochs is None and recipe.kind in ("real", "real+augmentation", "synthetic", "real+synthetic")
    ]
    wanted.sort(key=lambda recipe: (recipe.kind.startswith("real+s"), recipe.kind == "synthetic", recipe.ratio or 0))
    return [_ratio_row(recipe, pooled, divisions) for recipe in wanted]


def _ratio_row(recipe: Recipe, pooled: Pooled, divisions: Sequence[DivisionResult]) -> RatioRow:
    changes = np.mean([_gene_changes(division.arms, recipe.label) for division in divisions], axis=0)
    return RatioRow(
        arm=recipe.label,
        ratio=recipe.ratio,
        error=pooled.error(recipe.label),
        against_real=pooled.change(recipe.label, REAL),
        genes=len(changes),
        gene_change_mean=float(changes.mean()),
        gene_change_sd=float(changes.std(ddof=1)) if len(changes) > 1 else 0.0,
        genes_better=float((changes < 0).mean()),
    )


def _gene_changes(arms: Sequence[Arm], label: str) -> np.ndarray:
    """Relative change of each gene's error; the panels of divisions differ a little, so genes go by rank of expression."""
    by_label = {arm.label: np.array(arm.mae_per_gene) for arm in arms}
    return by_label[label] / np.maximum(by_label[REAL], 1e-9) - 1


def controls(design: StudyDesign, method: str, pooled: Pooled) -> list[Control]:
    """Return the questions that the controls of the main divisions answer."""
    plain, both = best_arms(design)
    highest = design.highest
    asked = [
        ("Do synthetic pairs lower the error?", plain, REAL),
        ("Do they when both arms are augmented?", both, AUGMENTED),
        ("Do they at equally many steps, both augmented?", both, length_label(AUGMENTED, design.predictor.steps)),
        ("Are they worth more than augmentation?", plain, AUGMENTED),
        ("Does it matter that patches follow their expression?", plain, arm_label("real+shuffled", highest)),
        ("Does it matter that the backbone was adapted?", plain, arm_label("real+unadapted", highest)),
        ("Is mixed expression as good as observed?", plain, arm_label("real+observed", highest)),
        ("How far do synthetic pairs get alone?", arm_label("synthetic", highest), REAL),
        ("Do spots predict better than their mean?", REAL, arm_label("mean")),
    ]
    if method == "random" and design.epochs is not None:
        by_epochs = arm_label("real", epochs=design.epochs), arm_label("real+synthetic", highest, design.epochs)
        asked.append((f"And in the paper's way ({design.epochs} epochs: more pairs, more steps)?", by_epochs[1], by_epochs[0]))
    return [
        Control(
            method=method,
            question=question,
            arm=arm,
            against=against,
            divisions=pooled.divisions_with(arm, against),
            change=pooled.change(arm, against),
        )
        for question, arm, against in asked
    ]
