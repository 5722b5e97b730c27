"""Adaptation with differential privacy: DP-SGD (Abadi et al. 2016) on projection, null vector and FiLM heads.

At each step every spot is drawn on its own with the same probability (Poisson sampling, which the accounting asks for), its
gradient is clipped to a norm, and Gaussian noise is added to the sum. The backbone is frozen and treats samples one by one, so
that the gradient by a sample's modulations is that sample's alone; from there the adapter is small enough for `torch.func` to
give the gradient of every sample.

Which spots are drawn, and the noise, must stay secret: they come from the operating system's randomness, not from the run's
seed. A run that was stopped and goes on therefore does not repeat the curve of one that was not.

Shape letters: B batch, C channels of a block.
"""

from __future__ import annotations

import math
import secrets
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.film import AdaptedBackbone
from c2lst_shared.diffusion.trainer import Batch, Draw, Trainer, learning_rate
from c2lst_shared.errors import C2lstError
from c2lst_shared.presets import DiffusionConfig, TrainingConfig


class Mechanism(NamedTuple):
    """What a step does to gradients; together with the number of steps it decides what the training costs in privacy."""

    noise_multiplier: float  # standard deviation of the noise over the clipping norm
    sample_rate: float  # probability of each spot to be in a step
    clip_norm: float


class PrivateTrainer(Trainer):
    """A `Trainer` of an adapter whose steps are differentially private for each spot."""

    def __init__(
        self,
        network: AdaptedBackbone,
        spots: StoredBatches,
        diffusion: DiffusionConfig,
        config: TrainingConfig,
        *,
        mechanism: Mechanism,
        device: torch.device | str = "cpu",
        secret: int | None = None,
    ) -> None:
        """Prepare the training of `network` on `spots`; a `secret` makes a test repeatable and the result worthless."""
        super().__init__(network, spots, diffusion, config, seed=0, device=device)
        self._adapted = network
        self._spots = spots
        self._mechanism = mechanism
        self._secret = secret

    def _generator(self, step: int, purpose: int) -> torch.Generator:
        number = secrets.randbits(63) if self._secret is None else (self._secret * 1_000_003 + 2 * step + purpose) % 2**63
        return torch.Generator().manual_seed(number)

    def _draws_of(self, step: int) -> list[Draw]:
        """Draw the spots of a step, in parts of a micro-batch; none may be drawn."""
        generator = self._generator(step, 0)
        numbers = torch.nonzero(torch.rand(len(self._spots), generator=generator) < self._mechanism.sample_rate)[:, 0]
        last, config = self._schedule.config.train_steps, self.config
        draws = []
        for part in numbers.split(config.micro_batch) if len(numbers) else ():
            batch = self._spots.chosen(part.numpy(), generator)
            t = torch.randint(int(config.noise_from * last), last, (len(part),), generator=generator)
            noise = torch.randn(batch.images.shape, generator=generator)
            keep = torch.rand(len(part), generator=generator) >= config.condition_dropout
            draws.append(Draw(batch, t, noise, keep))
        return draws

    def _one_step(self, draws: list[Draw]) -> float:
        """Take a step along the noisy mean of clipped gradients; return the mean loss of what was drawn."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        sums = [torch.zeros_like(parameter) for parameter in self._parameters]
        losses = [torch.zeros(0, device=self.device)]
        for draw in draws:
            gradients, loss = self._clipped(draw)
            losses.append(loss)
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient
        sd, expected = (
            self._mechanism.noise_multiplier * self._mechanism.clip_norm,
            self._mechanism.sample_rate * len(self._spots),
        )
        generator = self._generator(self.step, 1)
        for parameter, total in zip(self._parameters, sums, strict=True):
            parameter.grad = (total + sd * torch.randn(total.shape, generator=generator).to(self.device)) / expected
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._ema.step(self._parameters)
        drawn = torch.cat(losses)
        value = float(drawn.mean()) if len(drawn) else self.losses[-1] if self.losses else 0.0
        if not math.isfinite(value):
            raise C2lstError(f"Training diverged at step {self.step} (the loss is {value}); lower the learning rate.")
        return value

    def _clipped(self, draw: Draw) -> tuple[list[Tensor], Tensor]:
        """Return the sum over samples of their gradients, each clipped to the norm, one per parameter; and losses [B]."""
        if draw.batch.condition is None or draw.keep is None:
            raise ValueError("an adapter is trained on batches with a condition")
        batch = Batch(draw.batch.images, draw.batch.condition.to(self.device))
        condition, keep = draw.batch.condition.to(self.device), draw.keep.to(self.device)
        adapter = self._adapted.adapter
        with torch.no_grad():
            modulations = [one.requires_grad_() for one in adapter(condition, keep)]  # each [B, 2 C]

        def predict(x: Tensor, t: Tensor, *_: Tensor) -> Tensor:
            return self._adapted.modulated(x, t, modulations)

        losses = self._loss(predict, draw._replace(batch=batch), training=True)
        upstream = torch.autograd.grad(losses.sum(), modulations)
        parameters = {name: parameter.detach() for name, parameter in adapter.named_parameters()}

        def gradient(row: Tensor, kept: Tensor, of_row: tuple[Tensor, ...]) -> dict[str, Tensor]:
            def modulate(weights: dict[str, Tensor]) -> list[Tensor]:
                return functional_call(adapter, weights, (row[None], kept[None]))

            pull_back = vjp(modulate, parameters)[1]
            found: dict[str, Tensor] = pull_back([one[None] for one in of_row])[0]
            return found

        each = vmap(gradient)(condition, keep, upstream)  # name -> [B, shape of the parameter]
        norms = torch.stack([one.flatten(1).norm(dim=1) for one in each.values()]).norm(dim=0)
        scale = (self._mechanism.clip_norm / norms.clamp(min=1e-12)).clamp(max=1.0)
        sums = [torch.einsum("b,b...->...", scale, each[name.removeprefix("adapter.")]) for name in self._names]
        return sums, losses.detach()
