"""Which device to use, and bf16 where the hardware multiplies it natively."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """CUDA when there is a card, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than float32 there; CPUs without the instructions emulate it slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast on `device`, disabled where it would not help."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))
