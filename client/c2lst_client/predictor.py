"""The gene expression predictor: a patch in, one z-score per gene of the panel out. B = batch, P = patch side, G = genes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from c2lst_client.predictor_data import Batch, Pairs
from c2lst_shared.diffusion.augment import to_unit
from c2lst_shared.diffusion.cuda_graph import Graphed
from c2lst_shared.diffusion.hardware import autocast
from c2lst_shared.errors import C2lstError
from c2lst_shared.presets import PredictorConfig

STEM = 4  # pixel-unshuffle factor of the small CNN: 64 px become 16 x 16 places of 48 numbers, cheap on a CPU
CHANNELS = (64, 128)
GROUPS = 8  # of the norm
PROGRAMMES = 4  # values that all genes are predicted from: a few tens of spots do not teach hundreds of genes one by one
PREDICT_BATCH = 256


def build_predictor(config: PredictorConfig, genes: int) -> nn.Module:
    """Build an untrained predictor, float patches [B, 3, P, P] in [-1, 1] -> z-scores [B, G]; its first answer is 0.

    Args:
        config: its `architecture` is `small_cnn` (P a multiple of 4), for a CPU, or `resnet50`, without pretrained weights.
        genes: G.
    """
    return ResNet50(genes) if config.architecture == "resnet50" else SmallCnn(genes)


class SmallCnn(nn.Module):
    """A few strided convolutions whose features keep how strong and how uneven each pattern is in the patch.

    Expression depends on what kinds of tissue a patch holds and not on where they lie in it, so each stage is summed up by
    the mean and the standard deviation of its channels over the patch. Genes go up and down together, so all of them are read
    off a few values; with a free choice for each gene, a small site's spots would be learned by heart.
    """

    def __init__(self, genes: int) -> None:
        super().__init__()
        self.stem = nn.PixelUnshuffle(STEM)
        widths = (3 * STEM**2, *CHANNELS)
        self.stages = nn.ModuleList(
            _stage(widths[number], widths[number + 1], stride=2 if number else 1) for number in range(len(CHANNELS))
        )
        self.norm = nn.LayerNorm(2 * sum(CHANNELS))
        self.programmes = nn.Linear(2 * sum(CHANNELS), PROGRAMMES)
        nn.init.xavier_uniform_(self.programmes.weight)
        self.head = _from_zero(nn.Linear(PROGRAMMES, genes))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, P, P] -> [B, G]."""
        x = self.stem(x)  # [B, 48, P/4, P/4]
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(_texture(x))
        z: Tensor = self.head(self.programmes(self.norm(torch.cat(features, dim=1))))
        return z


class ResNet50(nn.Module):
    """ResNet-50 (He et al. 2016) as in the paper, from random weights."""

    def __init__(self, genes: int) -> None:
        super().__init__()
        from transformers import ResNetConfig, ResNetModel

        config = ResNetConfig()
        self.trunk = ResNetModel(config)
        self.head = _from_zero(nn.Linear(config.hidden_sizes[-1], genes))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, P, P] -> [B, G]."""
        z: Tensor = self.head(self.trunk(pixel_values=x).pooler_output.flatten(1))
        return z


def _stage(before: int, after: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.GroupNorm(GROUPS, after), nn.SiLU())


def _texture(x: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the patch, [B, C, H, W] -> [B, 2 C]."""
    x = x.float()  # the difference below loses what bf16 has
    mean = x.mean((2, 3))
    variance = (x * x).mean((2, 3)) - mean * mean  # `std` is several times slower on a CPU
    return torch.cat([mean, F.relu(variance).add(1e-4).sqrt()], dim=1)


def _from_zero(head: nn.Linear) -> nn.Linear:
    """Start from predicting the mean of every gene, which is 0: few steps then suffice and few spots do not mislead."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def fit_predictor(
    config: PredictorConfig,
    genes: int,
    batches: Iterator[Batch],
    *,
    seed: int,
    device: torch.device | str = "cpu",
    on_step: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train a new predictor for `config.steps` steps: L1 loss, AdamW, linear warm-up and cosine decay.

    Args:
        config: what to build and how to train it.
        genes: G.
        batches: gives one batch for each step.
        seed: of the first weights; the same seed and batches give the same predictor.
        device: where to train.
        on_step: called after each step; what it raises ends the training.

    Raises:
        C2lstError: the training diverged.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = build_predictor(config, genes).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(config, step))

        # Cards convolve faster with channels last, CPUs without (docs/performance.md).
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format

        def add_gradients(images: Tensor, expression: Tensor) -> Tensor:
            images = images.contiguous(memory_format=layout)
            with autocast(device):
                predicted = network(images)
            loss = F.l1_loss(predicted.float(), expression)
            loss.backward()
            return loss.detach()

        accumulate = Graphed(add_gradients, device)
        for images, expression in islice(batches, config.steps):
            loss = accumulate(images, expression)
            optimizer.step()
            optimizer.zero_grad(set_to_none=not accumulate.replays)  # a graph adds to gradients where they are
            schedule.step()
            on_step()
        if not math.isfinite(loss.item()):
            raise C2lstError(f"Training the predictor diverged (the loss is {loss.item()}); lower its learning rate.")
    return network.eval()


@torch.no_grad()
def predict(network: nn.Module, pairs: Pairs) -> npt.NDArray[np.float32]:
    """Return the predicted z-scores of all pairs, N x G."""
    device = next(network.parameters()).device
    predicted = [
        network(to_unit(pairs.patches(range(start, min(start + PREDICT_BATCH, len(pairs))))).to(device)).cpu().numpy()
        for start in range(0, len(pairs), PREDICT_BATCH)
    ]
    return np.concatenate(predicted)


def _rate(config: PredictorConfig, step: int) -> float:
    """Share of the full learning rate at `step`: linear warm-up, then half a cosine to zero."""
    warmup = max(1, round(config.warmup_fraction * config.steps))
    done = (step - warmup) / max(1, config.steps - warmup)
    return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))))
