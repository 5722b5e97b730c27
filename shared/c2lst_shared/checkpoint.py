"""Training state on disk: named tensors in one safetensors file, written atomically, never pickled.

A checkpoint carries a fingerprint of what it belongs to (configuration, data, seed); another fingerprint is refused, so that a
run never continues from something else.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, NoSpace


def save(path: Path, tensors: dict[str, torch.Tensor], *, belongs_to: str) -> None:
    """Write `tensors` to `path`.

    Raises:
        NoSpace: the disk takes no more.
    """
    try:
        with atomic.replacing(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, {"belongs_to": belongs_to})
    except SafetensorError as error:  # what it makes of the system's errors
        raise NoSpace(f"The checkpoint {path} cannot be written ({error}); make room and run again.") from error


def load(path: Path, *, belongs_to: str) -> dict[str, torch.Tensor] | None:
    """Read what `save` wrote; None when there is nothing, or it belongs to other settings.

    Raises:
        BadArtefact: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            if (stored.metadata() or {}).get("belongs_to") != belongs_to:
                return None
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadArtefact(f"The checkpoint {path} is damaged ({error}); delete it to start this step anew.") from None
