"""Do generated patches look like the tissue of their spots' expression cluster?

Spots are grouped by expression (report/clusters.py: `k_means` finds the groups, or a site brings its own). Asked are two
things. Do the groups differ in the generated tissue as they do in the real one: the mean of each morphological number per
cluster, and its concordance over clusters. And can a generated patch be told to belong to its cluster: a classifier that has
seen real patches only names the cluster of each generated one.

Of the classifier, three accuracies belong together. The real patches' own is as much as the morphological numbers tell about
the cluster; the shuffled one is what patches without conditioning reach; the generated one lies somewhere between them.
Parts of the slide are held out in turn, and real and generated patches of a spot are named by the same classifier, which saw
neither it nor its neighbours.

S spots, K generated patches each, D numbers per patch, C clusters, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.agreement import agreement, range_of
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.patch_morphology import NUMBERS, measure_morphology, measure_samples
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import RESAMPLES, Estimate, Resamples, resample, spatial_blocks
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]

MIN_SPOTS = 10  # of a cluster that is measured
MIN_CLUSTERS = 3  # for a concordance over clusters: two points always lie on a line
FOLDS = 5


class ClusterMorphology(Result):
    """One cluster: the mean of each morphological number over its spots, by the name of the number."""

    cluster: str
    spots: int
    real: dict[str, Interval]
    generated: dict[str, Interval]
    difference: dict[str, Interval]  # generated - real, paired over spots


class ClusterRecognition(Result):
    """How often a classifier trained on real patches names the right cluster: balanced accuracy, 0 to 1."""

    generated: Interval
    real: Interval  # the same classifiers on real patches that they have not seen: the yardstick
    shuffled: Interval  # generated patches given to random spots: mean and the range of 95 %
    chance: float  # 1 / C
    confusion: list[list[float]]  # C x C: of the generated patches of a row's cluster, the share named as each column's


class ClusterResult(Result):
    """Expression clusters and their tissue."""

    clusters: list[ClusterMorphology]
    agreement: dict[str, Interval]  # concordance over clusters of each number; empty for fewer than three clusters
    recognition: ClusterRecognition
    left_out: list[str]  # clusters with too few spots
    samples_per_spot: int


class _Group(NamedTuple):
    """One cluster with draws of its own spots: a rare cluster is missing from no draw."""

    name: str
    members: npt.NDArray[np.intp]
    draws: Resamples


def measure_clusters(
    real: Pixels,
    generated: Pixels,
    clusters: npt.ArrayLike,
    *,
    threshold: float,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> ClusterResult:
    """Compare the tissue of each expression cluster, real and generated.

    Args:
        real: S x P x P x 3, of held-out spots.
        generated: S x K x P x P x 3, from the expression of these spots.
        clusters: S names or numbers.
        threshold: from `nuclear_threshold` on real patches of training spots.
        centres: S x 2 positions on the slide; with them intervals and folds respect that neighbours are alike.
        seed: of bootstrap and shuffling.

    Raises:
        BadInput: the arrays do not describe the same spots, or fewer than two clusters have `MIN_SPOTS` spots.
    """
    names = np.asarray(clusters).astype(str)
    if not len(real) == len(generated) == len(names):
        raise BadInput(
            f"There are {len(real)} real patches, {len(generated)} spots with generated ones and {len(names)} clusters; "
            "pass the same spots for all."
        )
    groups, left_out = _groups(names, centres, seed)
    of_real, of_generated = measure_morphology(real, threshold), measure_samples(generated, threshold)
    averaged = of_generated.mean(axis=1)
    means = [[_mean(values, group) for group in groups] for values in (of_real, averaged)]
    return ClusterResult(
        clusters=[_describe(group, mine, theirs) for group, mine, theirs in zip(groups, *means, strict=True)],
        agreement=_agreement(groups, *means) if len(groups) >= MIN_CLUSTERS else {},
        recognition=recognise_clusters(of_real, of_generated, names, centres=centres, seed=seed),
        left_out=left_out,
        samples_per_spot=generated.shape[1],
    )


def recognise_clusters(
    real: npt.NDArray[np.floating],
    generated: npt.NDArray[np.floating],
    clusters: npt.ArrayLike,
    *,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> ClusterRecognition:
    """Let a classifier of real patches name the cluster of generated ones.

    Args:
        real: S x D numbers of the real patches: morphology, or the features of an encoder.
        generated: S x K x D of the generated ones.
        clusters: S names or numbers.
        centres: S x 2 positions; with them whole parts of the slide are held out.
        seed: of bootstrap and shuffling.

    Raises:
        BadInput: fewer than two clusters have `MIN_SPOTS` spots.
    """
    names = np.asarray(clusters).astype(str)
    groups, _ = _groups(names, centres, seed)
    order = [group.name for group in groups]
    used = np.sort(np.concatenate([group.members for group in groups]))
    named_real, named_generated = np.zeros((len(names), len(order))), np.zeros((len(names), len(order)))
    blocks = np.arange(len(used)) if centres is None else spatial_blocks(centres[used])
    for train, test in _folds(names[used], blocks):
        classifier = _classifier(real[used[train]], names[used[train]])
        rows = used[test]
        named_real[rows] = _votes(classifier.predict(real[rows])[:, None], order)
        flat = generated[rows].reshape(-1, generated.shape[2])
        named_generated[rows] = _votes(classifier.predict(flat).reshape(len(rows), -1), order)
    return ClusterRecognition(
        generated=_balanced_accuracy(named_generated, groups),
        real=_balanced_accuracy(named_real, groups),
        shuffled=_shuffled_accuracy(named_generated, groups, used, seed),
        chance=1 / len(groups),
        confusion=[named_generated[group.members].mean(axis=0).tolist() for group in groups],
    )


def _groups(names: npt.NDArray[np.str_], centres: npt.NDArray[np.floating] | None, seed: int) -> tuple[list[_Group], list[str]]:
    groups, left_out = [], []
    for number, name in enumerate(np.unique(names)):
        members = np.flatnonzero(names == name)
        if len(members) < MIN_SPOTS:
            left_out.append(str(name))
            continue
        where = None if centres is None else centres[members]
        groups.append(_Group(str(name), members, resample(len(members), centres=where, seed=seed + number)))
    if len(groups) < 2:
        raise BadInput(f"{len(groups)} clusters have {MIN_SPOTS} spots or more, and two are needed; ask for fewer clusters.")
    return groups, left_out


def _mean(values: Floats, group: _Group) -> list[Estimate]:
    """Return the mean of each column of `values` (S x D) over the cluster."""
    mine = values[group.members]
    draws = group.draws.spots @ mine
    return [Estimate(float(mine[:, d].mean()), draws[:, d], group.draws.stretch) for d in range(mine.shape[1])]


def _describe(group: _Group, real: list[Estimate], generated: list[Estimate]) -> ClusterMorphology:
    rows = list(zip(NUMBERS, real, generated, strict=True))
    return ClusterMorphology(
        cluster=group.name,
        spots=len(group.members),
        real={name: one.interval() for name, one, _ in rows},
        generated={name: other.interval() for name, _, other in rows},
        difference={name: other.minus(one).interval() for name, one, other in rows},
    )


def _agreement(groups: list[_Group], real: list[list[Estimate]], generated: list[list[Estimate]]) -> dict[str, Interval]:
    stretch = max(group.draws.stretch for group in groups)

    def lists(means: list[list[Estimate]], number: int) -> tuple[Floats, Floats]:
        mine = [of_cluster[number] for of_cluster in means]
        return np.array([one.value for one in mine]), np.stack([one.draws for one in mine], axis=1)

    found = {}
    for number, name in enumerate(NUMBERS):
        (x, x_draws), (y, y_draws) = lists(real, number), lists(generated, number)
        found[name] = agreement(x, y, x_draws, y_draws, stretch)
    return found


def _folds(
    names: npt.NDArray[np.str_], blocks: npt.NDArray[np.intp]
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return rows to train on and rows to test; parts of the slide stay together, clusters are spread over the folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    return list(StratifiedGroupKFold(FOLDS).split(names, names, blocks))


def _classifier(values: npt.NDArray[np.floating], names: npt.NDArray[np.str_]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)).fit(values, names)


def _votes(named: npt.NDArray[np.str_], order: Sequence[str]) -> Floats:
    """Return for each spot the share of its patches that were named as each cluster, n x C; `named` is n x K."""
    return np.stack([(named == name).mean(axis=1) for name in order], axis=1)


def _balanced_accuracy(votes: Floats, groups: list[_Group]) -> Interval:
    """Return the mean over clusters of the share that was named rightly; `votes` is S x C."""
    right = [votes[group.members, column] for column, group in enumerate(groups)]
    draws = np.mean([group.draws.spots @ mine for group, mine in zip(groups, right, strict=True)], axis=0)
    value = float(np.mean([mine.mean() for mine in right]))
    return Estimate(value, draws, max(group.draws.stretch for group in groups)).interval(0.0, 1.0)


def _shuffled_accuracy(votes: Floats, groups: list[_Group], used: npt.NDArray[np.intp], seed: int) -> Interval:
    generator = np.random.default_rng(seed)
    accuracy = np.empty(RESAMPLES)
    shuffled = votes.copy()
    for i in range(RESAMPLES):
        shuffled[used] = votes[generator.permutation(used)]
        accuracy[i] = np.mean([shuffled[group.members, column].mean() for column, group in enumerate(groups)])
    return range_of(accuracy)
