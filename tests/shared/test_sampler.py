"""Samplers recover a distribution that is known exactly, and each sample depends on its own seed alone."""

import pytest
import torch

from c2lst_shared.diffusion.sampler import generate, seeded_noise, to_uint8
from c2lst_shared.diffusion.schedule import NoiseSchedule
from c2lst_shared.presets import DiffusionConfig, SamplingConfig

MEAN, SD = 0.2, 0.3


def exact_network(diffusion):
    """The perfect network for pixels that are independent N(MEAN, SD^2): E[target | x_t] in closed form."""
    schedule = NoiseSchedule(diffusion)

    def predict(x, t):
        alpha_bar = schedule.alpha_bar[t]
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        clean = MEAN + signal * SD**2 / (alpha_bar * SD**2 + 1 - alpha_bar) * (x - signal * MEAN)
        noise = (x - signal * clean) / sigma
        return noise if diffusion.prediction == "epsilon" else signal * noise - sigma * clean

    return predict


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 250), ("dpm++", 25), ("unipc", 15)])
def test_sampler_recovers_a_known_distribution(sampler, steps, prediction):
    diffusion = DiffusionConfig(prediction=prediction)
    x = generate(
        exact_network(diffusion), seeded_noise(0, range(16), 32), diffusion, SamplingConfig(sampler=sampler, steps=steps)
    )
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(SD, rel=0.1)


def test_noise_of_a_sample_does_not_depend_on_its_batch():
    together = seeded_noise(7, [3, 4, 5], 8)
    assert torch.equal(together[1], seeded_noise(7, [4], 8)[0])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(seeded_noise(8, [4], 8)[0], together[1])


def test_pixels_cover_the_whole_range():
    x = torch.tensor([-1.0, 0.0, 1.0]).expand(1, 3, 3).reshape(1, 3, 1, 3)
    assert to_uint8(x)[0, 0, :, 0].tolist() == [0, 128, 255]
