"""The predictor learns what patches show, starts from the mean, and depends on its seed alone."""

import itertools

import numpy as np
import pytest
import torch
from fakes.blobs import blob_patches, expression_of

from c2lst_client.predictor import ResNet50, build_predictor, fit_predictor, predict
from c2lst_client.predictor_data import ArrayPairs, Batch, Part, batches, stain_jitter
from c2lst_shared.errors import C2lstError
from c2lst_shared.presets import PRESETS, PredictorConfig

CONFIG = PredictorConfig(steps=60, batch=16, learning_rate=1e-3)


def _pairs(spots: int, seed: int, genes: int = 6) -> ArrayPairs:
    density = np.random.default_rng(seed).random(spots)
    return ArrayPairs(blob_patches(density, seed=seed), expression_of(density, genes=genes, seed=seed))


def _fit(pairs: ArrayPairs, seed: int = 0, config: PredictorConfig = CONFIG) -> torch.nn.Module:
    drawn = batches([Part(pairs, len(pairs), config.batch)], torch.Generator().manual_seed(seed), augment=False)
    return fit_predictor(config, pairs.expression.shape[1], drawn, seed=seed)


def test_predictor_learns_expression_from_density():
    held_out = _pairs(80, seed=2)
    predicted = predict(_fit(_pairs(60, seed=1)), held_out)
    error = np.abs(predicted - held_out.expression).mean()
    assert error < 0.6 * np.abs(held_out.expression).mean()
    assert np.corrcoef(predicted.ravel(), held_out.expression.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("image_px", [16, 64, 128])
def test_untrained_predictor_answers_zero_for_every_size(image_px):
    network = build_predictor(CONFIG, genes=7).eval()
    answer = network(torch.rand(3, 3, image_px, image_px) * 2 - 1)
    assert answer.shape == (3, 7)
    assert (answer == 0).all()


def test_small_cnn_has_a_size_for_a_cpu():
    network = build_predictor(PRESETS["small"].predictor, genes=250)
    assert 0.05e6 < sum(parameter.numel() for parameter in network.parameters()) < 1.0e6


def test_same_seed_gives_the_same_predictor():
    pairs = _pairs(20, seed=1)
    config = CONFIG.model_copy(update={"steps": 5})
    first, again, other = (predict(_fit(pairs, seed, config), pairs) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_training_leaves_the_random_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    _fit(_pairs(20, seed=1), config=CONFIG.model_copy(update={"steps": 2}))
    assert torch.rand(1) == expected


def test_every_step_is_told():
    told: list[int] = []
    pairs = _pairs(20, seed=1)
    drawn = batches([Part(pairs, 20, 4)], torch.Generator().manual_seed(0), augment=True)
    config = CONFIG.model_copy(update={"steps": 7})
    fit_predictor(config, 6, drawn, seed=0, on_step=lambda: told.append(1))
    assert len(told) == 7


def test_divergence_is_an_error_and_not_a_result():
    broken = Batch(torch.zeros(2, 3, 16, 16), torch.full((2, 6), float("nan")))
    with pytest.raises(C2lstError, match="diverged"):
        fit_predictor(CONFIG.model_copy(update={"steps": 2}), 6, itertools.repeat(broken), seed=0)


def test_predicting_in_parts_changes_nothing():
    pairs = _pairs(300, seed=1)
    network = _fit(_pairs(20, seed=1), config=CONFIG.model_copy(update={"steps": 3}))
    alone = predict(network, ArrayPairs(pairs.pixels[250:260], pairs.expression[250:260]))
    np.testing.assert_allclose(predict(network, pairs)[250:260], alone, atol=1e-5)


def test_batches_hold_the_share_of_each_part_and_go_round_evenly():
    first, second = _pairs(6, seed=1), _pairs(40, seed=2)
    drawn = batches([Part(first, 6, 3), Part(second, 10, 5)], torch.Generator().manual_seed(0), augment=False)
    rows = np.concatenate([batch.expression for batch in itertools.islice(drawn, 4)]).reshape(4, 8, 6)
    seen_first = (rows[:, :3].reshape(-1, 1, 6) == first.expression).all(axis=2).sum(axis=0)
    seen_second = (rows[:, 3:].reshape(-1, 1, 6) == second.expression).all(axis=2).sum(axis=0)
    assert seen_first.tolist() == [2] * 6
    assert seen_second.tolist() == [2] * 10 + [0] * 30


def test_images_and_expression_of_a_batch_belong_together():
    pairs = _pairs(30, seed=5)
    batch = next(batches([Part(pairs, 30, 30)], torch.Generator().manual_seed(0), augment=False))
    darkness = -batch.images.mean((1, 2, 3)).numpy()
    assert np.corrcoef(darkness, batch.expression[:, 0])[0, 1] > 0.8


def test_augmentation_keeps_what_the_patch_shows():
    pairs = _pairs(30, seed=5)
    plain, varied = (
        next(batches([Part(pairs, 30, 30)], torch.Generator().manual_seed(0), augment=augment)).images
        for augment in (False, True)
    )
    assert varied.shape == plain.shape
    assert varied.abs().max() <= 1
    difference = (varied.mean((1, 2, 3)) - plain.mean((1, 2, 3))).abs()
    assert 0.001 < difference.mean() < 0.1


def test_stain_jitter_is_mild_and_differs_between_patches():
    image = torch.rand(4, 3, 8, 8) * 1.8 - 0.9
    varied = stain_jitter(image, torch.Generator().manual_seed(0))
    assert 0.001 < (varied - image).abs().mean() < 0.15
    assert not torch.allclose(varied[0] - image[0], varied[1] - image[1])


@pytest.mark.slow
def test_resnet50_trains_without_downloads():
    pytest.importorskip("transformers", reason="the resnet50 predictor needs transformers")
    config = PredictorConfig(architecture="resnet50", steps=2, batch=4, learning_rate=1e-4)
    pairs = ArrayPairs(blob_patches(np.linspace(0, 1, 8), px=64, seed=0), expression_of(np.linspace(0, 1, 8), seed=0))
    network = _fit(pairs, config=config)
    assert isinstance(network, ResNet50)
    assert np.isfinite(predict(network, pairs)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_a_card_trains_the_same_predictor():
    pairs = _pairs(60, seed=1)
    on_card, here = (
        predict(
            fit_predictor(CONFIG, 6, batches([Part(pairs, 60, 16)], _generator(), augment=False), seed=0, device=device), pairs
        )
        for device in ("cuda", "cpu")
    )
    assert np.corrcoef(on_card.ravel(), here.ravel())[0, 1] > 0.98


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
