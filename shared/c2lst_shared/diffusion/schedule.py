"""The forward process and the training objective.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps; velocity v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (Salimans and Ho 2022).
Min-SNR weights (Hang et al. 2023): min(SNR, gamma) / SNR for noise, min(SNR, gamma) / (SNR + 1) for velocity; both put the
same weight min(SNR, gamma) on the error of x_0.
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from c2lst_shared.presets import DiffusionConfig


class NoiseSchedule:
    """abar_t for every training step, from the same diffusers tables that the samplers use."""

    def __init__(self, config: DiffusionConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        tables = DDIMScheduler(num_train_timesteps=config.train_steps, beta_schedule=config.beta_schedule)
        self.alpha_bar: Tensor = tables.alphas_cumprod.to(device)  # [T]

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return x_t [B, 3, P, P]."""
        signal, sigma = self._factors(t)
        return signal * x + sigma * noise

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should predict [B, 3, P, P]."""
        if self.config.prediction == "epsilon":
            return noise
        signal, sigma = self._factors(t)
        return signal * noise - sigma * x

    def weight(self, t: Tensor) -> Tensor:
        """Min-SNR weight of each step [B]."""
        alpha_bar = self.alpha_bar[t]
        # SNR = abar / (1 - abar), written so that abar -> 0 divides nothing by nothing
        capped = torch.minimum(alpha_bar / (1 - alpha_bar), torch.full_like(alpha_bar, self.config.snr_gamma))
        if self.config.prediction == "v_prediction":
            return capped * (1 - alpha_bar)  # 1 / (SNR + 1) = 1 - abar
        return capped * (1 - alpha_bar) / alpha_bar.clamp(min=torch.finfo(alpha_bar.dtype).tiny)

    def error(self, prediction: Tensor, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean squared error per sample [B], in float32 whatever the prediction's dtype."""
        return (prediction.float() - self.target(x, noise, t)).square().flatten(1).mean(1)

    def loss(self, prediction: Tensor, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Squared error per sample under the min-SNR weight [B]."""
        return self.weight(t) * self.error(prediction, x, noise, t)

    def _factors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alpha_bar[t][:, None, None, None]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
