"""One training run over several processes: each computes its part of every batch, and all take the same step.

`accelerate launch --module c2lst_server train ...` (or `torchrun`) starts the processes, on one machine or on several;
accelerate finds out who they are, puts each on its card and averages gradients. Without a launcher there is one process, and
nothing of accelerate is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from accelerate import Accelerator


class Workers:
    """This process among those of the run."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.count: int = accelerator.num_processes if accelerator else 1
        self.rank: int = accelerator.process_index if accelerator else 0
        self.device: torch.device = accelerator.device if accelerator else best_device()

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def part(self, size: int) -> slice:
        """Rows of a batch of `size` that this process computes.

        Raises:
            BadInput: the batch cannot be divided evenly.
        """
        if size % self.count:
            raise BadInput(f"A batch of {size} cannot be divided among {self.count} processes; start a divisor of {size}.")
        share = size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def joined(self, network: nn.Module) -> nn.Module:
        """Return `network` so that its gradients are averaged over the processes."""
        return network if self._accelerator is None else self._accelerator.prepare_model(network)

    def without_averaging(self, network: nn.Module) -> AbstractContextManager[None]:
        """Keep gradients to this process for the body: they are averaged once, with the last micro-batch."""
        return nullcontext() if self._accelerator is None else self._accelerator.no_sync(network)

    def mean(self, value: Tensor) -> float:
        """Mean of a number over the processes."""
        return float(value if self._accelerator is None else self._accelerator.reduce(value, "mean"))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all of them must stop at the same step."""
        return flag if self._accelerator is None else self.mean(torch.tensor(float(flag), device=self.device)) > 0

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


@contextmanager
def join_workers() -> Iterator[Workers]:
    """Join the run that a launcher started this process for; a process of its own when there was none.

    A process that ends well leaves the run: otherwise a thread of its group may still be at work when the interpreter ends,
    and abort it (SIGABRT). After an error it does not, for over NCCL leaving waits for the others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    yield Workers(accelerator)
    accelerator.end_training()
