"""The forward process and its weights against their definitions."""

import pytest
import torch
from diffusers import DDIMScheduler

from c2lst_shared.diffusion.schedule import NoiseSchedule
from c2lst_shared.presets import DiffusionConfig


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(5, 3, 4, 4, generator=generator),
        torch.randn(5, 3, 4, 4, generator=generator),
        torch.tensor([0, 1, 400, 998, 999]),
    )


@pytest.mark.parametrize("beta_schedule", ["linear", "squaredcos_cap_v2"])
def test_noise_and_velocity_agree_with_diffusers(beta_schedule, samples):
    x, noise, t = samples
    schedule = NoiseSchedule(DiffusionConfig(beta_schedule=beta_schedule, prediction="v_prediction"))
    reference = DDIMScheduler(beta_schedule=beta_schedule)
    torch.testing.assert_close(schedule.add_noise(x, noise, t), reference.add_noise(x, noise, t))
    torch.testing.assert_close(schedule.target(x, noise, t), reference.get_velocity(x, noise, t))


@pytest.mark.parametrize(
    ("prediction", "factor"), [("epsilon", lambda snr: 1 / snr), ("v_prediction", lambda snr: 1 / (snr + 1))]
)
def test_weight_is_min_snr(prediction, factor):
    schedule = NoiseSchedule(DiffusionConfig(beta_schedule="linear", prediction=prediction))
    t = torch.arange(1000)
    snr = (schedule.alpha_bar / (1 - schedule.alpha_bar)).double()
    torch.testing.assert_close(schedule.weight(t).double(), snr.clamp(max=5) * factor(snr), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_weights_are_finite_at_pure_noise(prediction):
    schedule = NoiseSchedule(DiffusionConfig(prediction=prediction))
    assert schedule.weight(torch.arange(1000)).isfinite().all()


def test_perfect_prediction_has_no_loss(samples):
    x, noise, t = samples
    schedule = NoiseSchedule(DiffusionConfig())
    assert schedule.loss(schedule.target(x, noise, t), x, noise, t).abs().max() == 0
