"""Per-gene results: which genes a report names, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from c2lst_client.evaluate.results import Arm, CotrainResult
from c2lst_shared.errors import BadInput

BEST_PREDICTED = 3
MOST_IMPROVED = 2
MOST_WORSENED = 1
TABLE_ROWS = 5


@dataclass(frozen=True)
class GeneResult:
    """One gene in both arms of the primary comparison."""

    gene: str
    position: int  # in the panel of the co-training result
    mae_before: float  # z-score units
    mae_after: float
    r_before: float
    r_after: float

    @property
    def change(self) -> float:
        """Relative change of the error; negative is better."""
        return (self.mae_after - self.mae_before) / self.mae_before if self.mae_before > 0 else 0.0


def primary_arms(result: CotrainResult) -> tuple[Arm, Arm]:
    """Return the arms of the primary comparison: the one compared against, and the co-trained one.

    Raises:
        BadInput: the result names an arm that it does not hold.
    """
    arms = {arm.label: arm for arm in result.arms}
    try:
        return arms[result.primary.against], arms[result.primary.arm]
    except KeyError as error:
        raise BadInput(f"The co-training result compares {error}, an arm that it does not hold; run cotrain again.") from None


def gene_results(result: CotrainResult) -> list[GeneResult]:
    """Return every gene of the primary comparison, in panel order."""
    before, after = primary_arms(result)
    columns = (before.mae_per_gene, after.mae_per_gene, before.pearson_per_gene, after.pearson_per_gene)
    rows = zip(result.genes, *columns, strict=True)
    return [GeneResult(gene, i, *numbers) for i, (gene, *numbers) in enumerate(rows)]


def choose_genes(results: Sequence[GeneResult], wanted: Sequence[str] | None) -> list[tuple[GeneResult, str]]:
    """Return the genes to map, each with the reason: those asked for, or the best predicted and the most changed.

    Raises:
        BadInput: a wanted gene is not in the panel.
    """
    if wanted is not None:
        by_name = {result.gene: result for result in results}
        missing = [gene for gene in wanted if gene not in by_name]
        if missing:
            raise BadInput(f"The gene {missing[0]!r} is not in this site's panel; choose genes of panel.json to map.")
        return [(by_name[gene], "asked for") for gene in wanted]
    by_change = sorted(results, key=lambda result: result.change)
    chosen: dict[str, tuple[GeneResult, str]] = {}
    for result in best_predicted(results)[:BEST_PREDICTED]:
        chosen[result.gene] = (result, "among the best predicted")
    for result in by_change[:MOST_IMPROVED]:
        if result.change < 0:
            chosen.setdefault(result.gene, (result, "error fell most"))
    for result in by_change[::-1][:MOST_WORSENED]:
        if result.change > 0:
            chosen.setdefault(result.gene, (result, "error rose most"))
    return list(chosen.values())


def best_predicted(results: Sequence[GeneResult]) -> list[GeneResult]:
    """Return the genes by their correlation after co-training, the highest first; a gene without one comes last."""
    return sorted(results, key=lambda result: -np.nan_to_num(result.r_after, nan=-2.0))


def change_by_predictability(results: Sequence[GeneResult]) -> tuple[float, float]:
    """Return the median change of error of the quarter of genes that tissue predicts best, and that of the others.

    Genes are ranked by the mean of their two correlations, which favours neither arm.
    """
    ranked = sorted(results, key=lambda result: -np.nan_to_num((result.r_before + result.r_after) / 2, nan=-2.0))
    best = -(-len(ranked) // 4)
    parts = ([result.change for result in part] for part in (ranked[:best], ranked[best:] or ranked))
    of_best, of_others = (float(np.median(part)) for part in parts)
    return of_best, of_others


def gene_table(results: Sequence[GeneResult]) -> list[tuple[str, list[GeneResult]]]:
    """Return the groups of genes for the table: best predicted, most improved, most worsened."""
    by_change = sorted(results, key=lambda result: result.change)
    groups = [
        ("Best predicted", best_predicted(results)[:TABLE_ROWS]),
        ("Error fell most", [result for result in by_change[:TABLE_ROWS] if result.change < 0]),
        ("Error rose most", [result for result in by_change[::-1][:TABLE_ROWS] if result.change > 0]),
    ]
    return [(title, rows) for title, rows in groups if rows]
