"""One trainer for both stages: the backbone at the centre and the adapter at a site.

Every random choice of step n (which patches, which augmentation, time steps, noise, dropped conditions) comes from a generator
seeded by (seed, n). A run that was stopped and resumed therefore follows the same loss curve as one that was not, and a
checkpoint holds no generator state. Several processes draw the same and compute their parts of it, so that their number
changes neither the curve nor what a checkpoint is good for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, Protocol

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from c2lst_shared.diffusion.cuda_graph import Graphed
from c2lst_shared.diffusion.hardware import autocast
from c2lst_shared.diffusion.schedule import NoiseSchedule
from c2lst_shared.diffusion.workers import Workers
from c2lst_shared.errors import C2lstError
from c2lst_shared.presets import DiffusionConfig, TrainingConfig

WHOLE = slice(None)


class Batch(NamedTuple):
    """Training samples."""

    images: Tensor  # [B, 3, P, P] in [-1, 1]
    condition: Tensor | None = None  # [B, D], or None for the backbone


class Draw(NamedTuple):
    """A batch with all that chance decides about it."""

    batch: Batch
    t: Tensor  # [B]
    noise: Tensor  # [B, 3, P, P]
    keep: Tensor | None  # [B], whether the condition is seen; None without a condition


class Batches(Protocol):
    """A source of batches: the same generator state gives the same batch."""

    def __call__(self, size: int, generator: torch.Generator, part: slice = WHOLE) -> Batch:
        """Draw `size` samples and return the rows of `part`."""


class Trainer:
    """Trains the parameters of `network` that require gradients, and keeps their moving average.

    `network` is called as `network(x, t)`, or `network(x, t, condition, keep)` when batches carry a condition.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        diffusion: DiffusionConfig,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        workers: Workers | None = None,
    ) -> None:
        self._workers = workers or Workers()
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self._joined = self._workers.joined(self.network)
        self.config = config
        self.losses: list[float] = []
        self._batches = batches
        self._schedule = NoiseSchedule(diffusion, self.device)
        self._seed = seed
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self._names = [name for name, _ in named]
        self._parameters = [p for _, p in named]
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        # EMAModel warms its decay up as (1 + n) / (10 + n), so short runs are not dominated by the first weights
        self._ema = EMAModel(self._parameters, decay=config.ema_decay, foreach=True)
        # Several processes talk to each other in the middle of a step, which is left as it is.
        self._accumulate = Graphed(self._add_gradients, self.device, enabled=self._workers.count == 1)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return len(self.losses)

    def train(self, on_step: Callable[[Trainer], None], stop: Callable[[], bool] = lambda: False) -> bool:
        """Run until the configured number of steps; return whether it was reached (`stop` is asked after each step)."""
        # While one step computes, a thread draws the next: reading and decoding patches then costs a fast card no time.
        with ThreadPoolExecutor(1, thread_name_prefix="draws") as ahead:
            drawn = ahead.submit(self._draws_of, self.step)
            while self.step < self.config.steps:
                draws = drawn.result()
                if self.step + 1 < self.config.steps:
                    drawn = ahead.submit(self._draws_of, self.step + 1)
                self.losses.append(self._one_step(draws))
                on_step(self)
                if self._workers.any(stop()):
                    break
        return self.step >= self.config.steps

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving average into the network for the body: what is sampled from, measured and published."""
        self._ema.store(self._parameters)
        self._ema.copy_to(self._parameters)
        try:
            yield
        finally:
            self._ema.restore(self._parameters)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors: weights, moving average, AdamW's moments, losses."""
        tensors = {"losses": torch.tensor(self.losses, dtype=torch.float64)}
        moments = self._optimizer.state
        for name, parameter, average in zip(self._names, self._parameters, self._ema.shadow_params, strict=True):
            tensors[f"weight.{name}"] = parameter.detach()
            tensors[f"average.{name}"] = average
            if parameter in moments:
                tensors[f"first.{name}"] = moments[parameter]["exp_avg"]
                tensors[f"second.{name}"] = moments[parameter]["exp_avg_sq"]
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned.

        Raises:
            KeyError: the tensors are not those of this network.
        """
        self.losses = tensors["losses"].tolist()
        step = torch.tensor(float(self.step))
        for name, parameter, average in zip(self._names, self._parameters, self._ema.shadow_params, strict=True):
            parameter.copy_(tensors[f"weight.{name}"])
            average.copy_(tensors[f"average.{name}"])
            self._optimizer.state[parameter] = {
                "step": step.clone().to(parameter.device),
                "exp_avg": tensors[f"first.{name}"].to(parameter.device, copy=True),
                "exp_avg_sq": tensors[f"second.{name}"].to(parameter.device, copy=True),
            }
        self._ema.optimization_step = self.step

    @torch.no_grad()
    def validation_loss(self, batches: Batches, *, size: int, count: int) -> float:
        """Mean loss over `count` batches of `size`, on the same draws at every call, so that values can be compared."""
        losses = []
        for number in range(count):
            draw = self._draw(batches, size, torch.Generator().manual_seed(number), training=False)
            losses.append(float(self._loss(self.network, draw, training=False).mean()))
        return sum(losses) / len(losses)

    def _draws_of(self, step: int) -> list[Draw]:
        """Draw the micro-batches of a step."""
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + step) % 2**63)
        size, count = self.config.micro_batch, self.config.accumulation
        return [self._draw(self._batches, size, generator, training=True) for _ in range(count)]

    def _one_step(self, draws: list[Draw]) -> float:
        config = self.config
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        total = torch.zeros((), device=self.device)
        for number, draw in enumerate(draws):
            last = number == config.accumulation - 1
            with nullcontext() if last else self._workers.without_averaging(self._joined):
                total += self._accumulate(*_tensors(draw))
        norm = nn.utils.clip_grad_norm_(self._parameters, config.clip_norm)
        value = self._workers.mean(total)
        self._require_finite(value, float(norm))  # before the step: weights that are no numbers would be of no more use
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=not self._accumulate.replays)  # a graph adds to gradients where they are
        self._ema.step(self._parameters)
        return value

    def _add_gradients(self, *tensors: Tensor) -> Tensor:
        """Add one micro-batch's share of the gradients to those of the parameters; return its share of the loss."""
        loss = self._loss(self._joined, _draw_of(tensors), training=True).mean() / self.config.accumulation
        loss.backward()
        return loss.detach()

    def _require_finite(self, loss: float, norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise C2lstError(
                f"Training diverged at step {self.step} (the loss is {loss:g}, the norm of its gradient {norm:g}); what was "
                "saved before is kept. Lower the learning rate; a gradient of nan with a usual loss is a fault of the card or "
                "of its libraries, and the same command goes on from the last checkpoint."
            )

    def _draw(self, batches: Batches, size: int, generator: torch.Generator, *, training: bool) -> Draw:
        """Draw a batch of `size`; in training this process's part of it, with conditions dropped."""
        part = self._workers.part(size) if training else WHOLE
        batch = batches(size, generator, part)
        last = self._schedule.config.train_steps
        first = int(self.config.noise_from * last) if training else 0
        t = torch.randint(first, last, (size,), generator=generator)[part]
        noise = torch.randn((size, *batch.images.shape[1:]), generator=generator)[part]
        if batch.condition is None:
            return Draw(batch, t, noise, None)
        dropout = self.config.condition_dropout if training else 0.0
        return Draw(batch, t, noise, torch.rand(size, generator=generator)[part] >= dropout)

    def _loss(self, network: Callable[..., Tensor], draw: Draw, *, training: bool) -> Tensor:
        """Loss of each sample that was drawn."""
        t, noise, images = (tensor.to(self.device) for tensor in (draw.t, draw.noise, draw.batch.images))
        x = self._schedule.add_noise(images, noise, t)
        with autocast(self.device):
            if draw.batch.condition is None or draw.keep is None:
                prediction = network(x, t)
            else:
                prediction = network(x, t, draw.batch.condition.to(self.device), draw.keep.to(self.device))
        if training and self.config.weighting == "uniform":
            return self._schedule.error(prediction, images, noise, t)
        return self._schedule.loss(prediction, images, noise, t)


def _tensors(draw: Draw) -> tuple[Tensor, ...]:
    images, condition = draw.batch
    plain = (images, draw.t, draw.noise)
    return plain if condition is None or draw.keep is None else (*plain, condition, draw.keep)


def _draw_of(tensors: tuple[Tensor, ...]) -> Draw:
    """The inverse of `_tensors`."""
    images, t, noise, *rest = tensors
    condition, keep = rest or (None, None)
    return Draw(Batch(images, condition), t, noise, keep)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero over the last `decay_fraction`."""
    warmup = max(1, round(config.warmup_fraction * config.steps))
    decay = max(1, round(config.decay_fraction * config.steps))
    left = (config.steps - step) / decay if config.decay_fraction else 1.0
    return config.learning_rate * min(1.0, (step + 1) / warmup, left)
