"""Figures of correspondence show what was measured; they are drawn from measurements of made-up tissue."""

import numpy as np
import pytest
from fakes.blobs import blob_patches
from fakes.planted_slide import square_array
from matplotlib.figure import Figure

from c2lst_client.evaluate.cluster_morphology import ClusterResult, measure_clusters
from c2lst_client.evaluate.gene_correspondence import measure_gene_correspondence
from c2lst_client.evaluate.gene_dropout import dropout_conditions, measure_dropout
from c2lst_client.evaluate.gene_sweeps import SweepResult, measure_sweep, sweep_conditions
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_client.study import figures_correspondence as figures

SIDE = 10
SPOTS = SIDE * SIDE
GENES = [f"Gene{g}" for g in range(24)]
DENSITY = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, SPOTS))
EXPRESSION = (DENSITY - 0.5)[:, None] * np.linspace(-5, 5, 24) + np.random.default_rng(1).normal(size=(SPOTS, 24))
REAL = blob_patches(DENSITY, px=32, seed=1)
GENERATED = np.stack([blob_patches(0.2 + 0.6 * DENSITY, px=32, seed=10 + k) for k in range(2)], axis=1)
THRESHOLD = nuclear_threshold(REAL)
CLUSTERS = np.array(list("ABCD"))[np.minimum((DENSITY * 4).astype(int), 3)]


def texts(figure: Figure) -> str:
    """All words of a figure, which must be drawn without a warning first."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def cluster_result() -> ClusterResult:
    return measure_clusters(REAL, GENERATED, CLUSTERS, threshold=THRESHOLD, centres=square_array(SIDE))


def sweeps() -> tuple[list[SweepResult], list[np.ndarray]]:
    results, strips = [], []
    for gene, slope in (("Gene23", 0.25), ("Gene0", -0.25), ("Gene12", 0.0)):
        sweep = sweep_conditions(EXPRESSION, GENES, gene, steps=7)
        patches = np.stack([blob_patches(np.clip(0.5 + slope * sweep.z, 0, 1), px=32, seed=seed) for seed in range(4)])
        options = {"genes": GENES, "train_expression": EXPRESSION, "train_nuclear": DENSITY / 2, "threshold": THRESHOLD}
        for strip in ("alone", "together"):
            results.append(measure_sweep(patches, sweep, strip, **options))  # type: ignore[arg-type]
            strips.append(patches[0])
    return results, strips


def dropouts():
    plan = dropout_conditions(EXPRESSION, 1, repeats=3)
    for name, loss in (("the panel's mean", 0.1), ("a raw count of 0", 0.8)):
        weak = [blob_patches((1 - loss) * DENSITY + loss / 2, px=32, seed=10 + k) for k in range(3)]
        yield measure_dropout(REAL, GENERATED[:, 0], weak, plan.dropped, GENES, threshold=THRESHOLD, filled_with=name)


def test_strips_show_every_step_of_every_gene():
    results, strips = sweeps()
    figure = figures.sweep_strips(results, strips)
    words = texts(figure)
    assert sum(len(axes.images) for axes in figure.axes) == 6 * 7
    assert "Gene23\ntogether" in words
    assert words.count("z = ") == 6 * 7


def test_slopes_stand_beside_their_predictions():
    results, _ = sweeps()
    figure = figures.sweep_slopes(results)
    assert "Gene0, alone" in texts(figure)
    drawn = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    expected = [100 * value for one in results for value in (one.slope.value, one.predicted.value)]
    assert drawn == pytest.approx(expected)


def test_clusters_show_four_numbers_with_their_agreement():
    words = texts(figures.cluster_dots(cluster_result()))
    assert words.count("concordance") == 4
    assert "A (22 spots)" in words


def test_recognition_shows_chance_and_the_share_of_each_cluster():
    result = cluster_result()
    figure = figures.cluster_recognition(result.recognition, [one.cluster for one in result.clusters])
    words = texts(figure)
    assert "shuffled" in words
    assert f"{100 * result.recognition.confusion[0][0]:.0f}" in words


def test_scatter_has_a_point_for_each_gene_and_names_the_extremes():
    result = measure_gene_correspondence(REAL, GENERATED, EXPRESSION, GENES, threshold=THRESHOLD)
    figure = figures.gene_scatter(result)
    words = texts(figure)
    assert len(figure.axes[0].collections[0].get_offsets()) == len(GENES)
    assert "Gene0" in words
    assert "Gene12" not in words
    assert "shuffled conditions reach" in words


def test_dropout_shows_the_change_of_each_way_of_zeroing():
    words = texts(figures.dropout_bars(list(dropouts())))
    assert "5 genes at\na raw count of 0" in words
    assert words.count("change ") >= 2
