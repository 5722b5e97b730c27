"""Arms differ in their data alone, good pairs help, bad ones do not, and a stopped co-training goes on."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.blobs import blob_patches, expression_of

from c2lst_client.arms import ArmTrainer, Recipe
from c2lst_client.cotrain import TRUTH, cotrain, recipes
from c2lst_client.cotrain_cells import CellFolder, digest
from c2lst_client.evaluate.results import CotrainResult
from c2lst_client.predictor import fit_predictor, predict
from c2lst_client.predictor_data import ArrayPairs, Pairs, Part, batches
from c2lst_client.spots.pairs import PairSet, PairWriter
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.presets import PredictorConfig

GENES = 6
TINY = PredictorConfig(steps=3, batch=4, seeds=2, ratios=(1, 2))
SHORTER = (1, 2)  # one and two thirds of them: the other lengths of arms without synthetic pairs


class CountingProgress:
    def __init__(self) -> None:
        self.total, self.done = 0, 0
        self.steps: Counter[str] = Counter()

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, units: int = 1, note: str = "") -> None:
        self.steps[note] += units


def pairs_of(spots: int, seed: int, *, noise: float = 0.3, broken: bool = False) -> ArrayPairs:
    """Pairs whose expression follows the density of the patch; broken ones have nothing to do with it."""
    density = np.random.default_rng(seed).random(spots)
    shown = np.random.default_rng(seed + 1000).random(spots) if broken else density
    return ArrayPairs(blob_patches(shown, seed=seed), expression_of(density, genes=GENES, noise=noise, seed=seed))


def run(
    config: PredictorConfig = TINY, *, train: int = 8, test: int = 12, synthetic: Pairs | None = None, **options: object
) -> tuple[CotrainResult, dict[str, np.ndarray]]:
    return cotrain(
        pairs_of(train, seed=1),
        pairs_of(test, seed=2),
        synthetic or pairs_of(2 * train, seed=3),
        config,
        genes=[f"G{gene}" for gene in range(GENES)],
        barcodes=[f"spot-{row}" for row in range(test)],
        **options,  # type: ignore[arg-type]
    )


def test_arms_are_complete_and_in_order():
    labels = [recipe.label for recipe in recipes((10, 5))]
    assert labels == [
        "mean",
        "real",
        "real + augmentation",
        "synthetic x10",
        "real + synthetic x5",
        "real + synthetic x10",
        "real + synthetic + augmentation x10",
    ]


def test_every_arm_and_seed_takes_the_same_number_of_steps_and_arms_of_real_pairs_one_and_two_thirds_as_well():
    progress = CountingProgress()
    result, _ = run(progress=progress)
    lengths = [(arm.label, TINY.steps) for arm in result.arms if arm.kind != "mean"]
    lengths += [(label, steps) for label in ("real", "real + augmentation") for steps in SHORTER]
    assert progress.steps == {f"{label}, {steps} steps, seed {seed}": steps for label, steps in lengths for seed in (0, 1)}
    assert progress.total == 2 * sum(steps for _, steps in lengths)


def test_arm_of_real_pairs_counts_with_its_best_length():
    spots, unlike = pairs_of(24, seed=1), pairs_of(24, seed=2, broken=True)
    lengths = {"short": 10, "middle": 20, "full": 30}
    errors = {}
    for held_out in (pairs_of(24, seed=3), unlike):
        for name, steps in lengths.items():
            config = PredictorConfig(steps=steps, batch=8, seeds=1, learning_rate=1e-2)
            drawn = batches([Part(spots, 24, 8)], torch.Generator().manual_seed(0), augment=False)
            predicted = predict(fit_predictor(config, GENES, drawn, seed=0), held_out)
            errors[name] = np.abs(predicted - held_out.expression).mean()
        config = PredictorConfig(steps=lengths["full"], batch=8, seeds=1, learning_rate=1e-2)
        found = ArmTrainer(spots, held_out, {}, config).run([Recipe("real")], [0])["real"]
        assert np.abs(found[0] - held_out.expression).mean() == min(errors.values())
        assert min(errors, key=errors.__getitem__) == ("short" if held_out is unlike else "full")


def test_result_describes_arms_and_predictions():
    result, predictions = run()
    assert [arm.label for arm in result.arms] == [recipe.label for recipe in recipes(TINY.ratios)]
    assert set(predictions) == {TRUTH, *(arm.label for arm in result.arms)}
    assert {each.shape for each in predictions.values()} == {(12, GENES)}
    assert (result.primary.arm, result.primary.against) == ("real + synthetic x2", "real")
    assert result.primary in result.comparisons
    assert {entry.arm for entry in result.comparisons if entry.against == "real"} == {arm.label for arm in result.arms[2:]}
    for arm in result.arms:
        assert arm.mae.low <= arm.mae.value <= arm.mae.high
        assert arm.mae.value == pytest.approx(np.mean(arm.mae_per_seed))
        assert arm.mae.value == pytest.approx(np.mean(arm.mae_per_gene), rel=1e-5)
    assert CotrainResult.model_validate_json(result.model_dump_json()) == result


def test_mean_arm_predicts_the_training_mean():
    result, predictions = run()
    mean = pairs_of(8, seed=1).expression.mean(axis=0)
    np.testing.assert_allclose(predictions["mean"], np.tile(mean, (12, 1)), atol=1e-6)
    assert result.arms[0].seeds == []
    assert result.arms[0].pearson.value == 0.0


def test_same_seed_gives_the_same_result():
    first, again, other = (run(seed=seed)[0] for seed in (0, 0, 5))
    assert first == again
    assert other.arms[1].seeds == [5, 6]
    assert first.arms[1].mae_per_seed != other.arms[1].mae_per_seed


def test_lower_ratio_uses_the_first_pairs_only():
    whole = pairs_of(16, seed=3)
    changed = ArrayPairs(whole.pixels, np.concatenate([whole.expression[:8], -whole.expression[8:]]))
    (_, before), (_, after) = run(synthetic=whole), run(synthetic=changed)
    assert (before["real + synthetic x1"] == after["real + synthetic x1"]).all()
    assert (before["real + synthetic x2"] != after["real + synthetic x2"]).any()


def test_finished_cells_are_not_trained_again(tmp_path: Path):
    cells = CellFolder(tmp_path / "cells")
    first, again = CountingProgress(), CountingProgress()
    before, after = run(cells=cells, progress=first), run(cells=cells, progress=again)
    assert after[0] == before[0]
    assert again.done == again.total == first.total
    assert not again.steps


def test_stopped_cotraining_goes_on_after_its_last_finished_cell(tmp_path: Path):
    def stop_in_the_third_cell() -> None:
        if sum(stopped.steps.values()) > 2 * SHORTER[0]:
            raise Interrupted("Stopped.")

    cells, stopped, resumed = CellFolder(tmp_path), CountingProgress(), CountingProgress()
    with pytest.raises(Interrupted, match=r"Stopped\."):
        run(cells=cells, progress=stopped, on_step=stop_in_the_third_cell)
    assert run(cells=cells, progress=resumed)[0] == run()[0]
    assert resumed.done == 2 * SHORTER[0]


def test_new_synthetic_pairs_leave_the_real_arms_trained(tmp_path: Path):
    cells, progress = CellFolder(tmp_path), CountingProgress()
    run(cells=cells)
    run(cells=cells, progress=progress, synthetic=pairs_of(16, seed=4))
    assert not [note for note in progress.steps if "synthetic" not in note]
    assert progress.done == 2 * 2 * (TINY.steps + sum(SHORTER))


def test_other_settings_train_again(tmp_path: Path):
    cells, progress = CellFolder(tmp_path), CountingProgress()
    run(cells=cells)
    run(TINY.model_copy(update={"learning_rate": 5e-4}), cells=cells, progress=progress)
    assert progress.done == 0


def test_damaged_cell_is_trained_again(tmp_path: Path):
    cells, progress = CellFolder(tmp_path), CountingProgress()
    run(cells=cells)
    damaged = next(tmp_path.glob("real-3-0-*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    run(cells=cells, progress=progress)
    assert dict(progress.steps) == {"real, 3 steps, seed 0": TINY.steps}


def test_digest_tells_shapes_types_and_texts_apart():
    zeros = np.zeros((2, 3), np.uint8)
    different = [
        digest(zeros),
        digest(zeros.T),
        digest(zeros.astype(np.int8)),
        digest("a", "b"),
        digest("ab"),
        digest("b", "a"),
    ]
    assert len(set(different)) == len(different)
    assert digest(zeros, "a") == digest(zeros.copy(), "a")


def test_pairs_on_disk_give_the_same_as_pairs_in_memory(tmp_path: Path):
    pairs = pairs_of(16, seed=3)
    with PairWriter(
        tmp_path,
        barcodes=[f"synthetic-{row}" for row in range(16)],
        expression=pairs.expression,
        genes=[f"G{gene}" for gene in range(GENES)],
        image_px=16,
        coords=np.zeros((16, 2)),
        provenance={},
    ) as writer:
        writer.append(pairs.pixels)
    on_disk, in_memory = run(synthetic=PairSet.open(tmp_path)), run(synthetic=pairs)
    assert on_disk[0] == in_memory[0]


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (TINY, {"synthetic": pairs_of(15, seed=3)}, "There are 15 synthetic pairs, but ratio 2 for 8 training spots needs 16"),
        (TINY, {"test": 2}, "at least 2 training and 3 held-out spots"),
        (TINY, {"train": 1}, "at least 2 training and 3 held-out spots"),
        (TINY.model_copy(update={"batch": 1}), {}, "a batch of at least 2"),
        (TINY.model_copy(update={"ratios": ()}), {}, "needs a ratio"),
        (
            TINY,
            {"synthetic": ArrayPairs(pairs_of(16, seed=3).pixels, np.zeros((16, 5), np.float32))},
            r"different widths \(\[5, 6\] genes\)",
        ),
    ],
    ids=["too few pairs", "too few held-out spots", "one training spot", "batch of one", "no ratio", "another panel"],
)
def test_pairs_that_do_not_fit_are_refused(config, options, message):
    with pytest.raises(BadInput, match=message):
        run(config, **options)


@pytest.mark.slow
def test_good_pairs_help_few_real_spots():
    """Noisy expression of twelve spots teaches little; a hundred true pairs teach the slope."""
    config = PredictorConfig(steps=80, batch=16, learning_rate=1e-3, seeds=2, ratios=(10,))
    good = pairs_of(120, seed=3, noise=0.3)
    result, _ = cotrain(
        pairs_of(12, seed=1, noise=2.0),
        pairs_of(100, seed=2),
        good,
        config,
        genes=[f"G{gene}" for gene in range(GENES)],
        barcodes=[str(row) for row in range(100)],
    )
    assert result.helped
    assert result.primary.change.value < -0.1
    assert result.verdict.startswith("Synthetic pairs help here: real + synthetic x10")


@pytest.mark.slow
def test_pairs_without_a_link_do_not_help_and_the_verdict_says_so():
    config = PredictorConfig(steps=80, batch=16, learning_rate=1e-3, seeds=2, ratios=(5,))
    result, _ = run(config, train=40, test=100, synthetic=pairs_of(200, seed=3, broken=True))
    assert not result.helped
    assert result.primary.change.high > 0
    assert "pairs help here" not in result.verdict.replace("No evidence that synthetic pairs help here", "")
    synthetic = next(arm for arm in result.arms if arm.kind == "synthetic")
    assert synthetic.pearson.value < 0.2
