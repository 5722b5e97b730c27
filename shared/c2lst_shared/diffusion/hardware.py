"""Which device to use, and how networks compute there: bf16 where the hardware multiplies it natively."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# All but cuDNN's: for 64 tokens (small patches) its backward pass gives gradients that are no numbers, on H100 cards with
# torch 2.11 (pytorch issue 196678; seen in our training after some 1,600 steps).
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def best_device() -> torch.device:
    """CUDA when there is a card, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than float32 there; CPUs without the instructions emulate it slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute the body in bf16 on `device`, where that helps, and attention by kernels whose gradients can be relied on."""
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)), sdpa_kernel(ATTENTION):
        yield
