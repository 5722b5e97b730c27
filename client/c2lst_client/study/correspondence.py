"""The study's part on morphology and genes: clusters, gene by gene, genes that are missing, one gene moved alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.evaluate.cluster_morphology import ClusterResult, measure_clusters
from c2lst_client.evaluate.gene_correspondence import GeneCorrespondence, measure_gene_correspondence
from c2lst_client.evaluate.gene_dropout import DropoutResult, dropout_conditions, measure_dropout, raw_zero
from c2lst_client.evaluate.gene_sweeps import SweepResult, choose_sweep_genes, measure_sweep, sweep_conditions
from c2lst_client.evaluate.results import Result
from c2lst_client.study.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DROPOUT_SPOTS = 100  # at most: each repeat generates a patch for each of them
DROPOUT_REPEATS = 2
STEPS, NOISES = 7, 4  # of a sweep


class CorrespondencePart(Result):
    """How morphology and genes go together, on held-out spots."""

    clusters: ClusterResult
    genes: GeneCorrespondence
    dropout: list[DropoutResult]
    sweeps: list[SweepResult]


def measure_correspondence(subject: Subject) -> tuple[CorrespondencePart, dict[str, Figure]]:
    """Measure and draw the part.

    Raises:
        BadInput: there are too few spots for clusters, or too few genes.
    """
    from c2lst_client.study import figures_correspondence as figures

    one_each = subject.generated[:, None]
    common = {"threshold": subject.threshold, "centres": subject.centres}
    clusters = measure_clusters(subject.real, one_each, subject.clusters, **common)  # type: ignore[arg-type]
    genes = measure_gene_correspondence(subject.real, one_each, subject.expression, subject.genes, **common)  # type: ignore[arg-type]
    dropout = [_dropout(subject, raw=False), _dropout(subject, raw=True)]
    sweeps, strips = _sweeps(subject)
    part = CorrespondencePart(clusters=clusters, genes=genes, dropout=dropout, sweeps=sweeps)
    names = [each.cluster for each in clusters.clusters]
    return part, {
        "clusters": figures.cluster_dots(clusters),
        "cluster_recognition": figures.cluster_recognition(clusters.recognition, names),
        "genes": figures.gene_scatter(genes),
        "dropout": figures.dropout_bars(dropout),
        "sweeps": figures.sweep_strips(sweeps, strips),
        "sweep_slopes": figures.sweep_slopes(sweeps),
    }


def _dropout(subject: Subject, *, raw: bool) -> DropoutResult:
    """Zero genes; patches number i start from the noise of the full patch number i."""
    spots = min(len(subject.real), DROPOUT_SPOTS)
    panel = subject.adapted.adaptation.panel
    fill = raw_zero(panel.mean, panel.sd) if raw else None
    conditions = dropout_conditions(subject.expression[:spots], subject.division.seed, repeats=DROPOUT_REPEATS, fill=fill)
    words = "a count of zero" if raw else "the panel's mean"
    generated = (
        subject.generate(f"dropout-{'raw' if raw else 'mean'}-{repeat}", expression)
        for repeat, expression in enumerate(conditions.expression)
    )
    return measure_dropout(
        subject.real[:spots],
        subject.generated[:spots],
        generated,
        conditions.dropped,
        subject.genes,
        threshold=subject.threshold,
        filled_with=words,
        centres=subject.centres[:spots],
    )


def _sweeps(subject: Subject) -> tuple[list[SweepResult], list[np.ndarray]]:
    chosen = choose_sweep_genes(subject.train_expression, subject.train_nuclear, subject.genes, centres=subject.train_centres)
    results, strips = [], []
    for each in chosen:
        sweep = sweep_conditions(subject.train_expression, subject.genes, each.gene, STEPS)
        for strip, conditions in (("alone", sweep.alone), ("together", sweep.together)):
            noises = [number for number in range(NOISES) for _ in range(STEPS)]
            patches = subject.generate(
                f"sweep-{strip}-{subject.genes.index(each.gene)}", np.tile(conditions, (NOISES, 1)), noises
            )
            patches = patches.reshape(NOISES, STEPS, *patches.shape[1:])
            results.append(
                measure_sweep(
                    patches,
                    sweep,
                    strip,  # type: ignore[arg-type]
                    genes=subject.genes,
                    train_expression=subject.train_expression,
                    train_nuclear=subject.train_nuclear,
                    threshold=subject.threshold,
                    train_centres=subject.train_centres,
                )
            )
            strips.append(patches[0])
    return results, strips
