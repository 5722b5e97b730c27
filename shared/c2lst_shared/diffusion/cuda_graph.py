"""A step of training as a CUDA graph: recorded once, then replayed.

A step of a small network is some thousand small operations. Started from Python one by one they take longer to start than to
compute, so that a card waits most of the time; a graph starts all of them at once (PyTorch's notes on CUDA semantics, "CUDA
Graphs"). The operations are the same, and so is what comes of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)

WARM_UP = 3  # calls before the recording, in which libraries choose their kernels and take their memory


class Graphed:
    """A function of tensors that a card replays; elsewhere it is called as it is.

    The function does the same operations whatever its inputs' values, never waits for the card, and changes tensors of its own
    (weights' gradients, for example) in place, never by putting others there. What it returns is overwritten by the next call.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device, *, enabled: bool = True) -> None:
        """Take the `function` whose inputs will lie on `device`; one that is not `enabled` is called as it is there too."""
        self._function = function
        self._device = device
        self.replays = enabled and device.type == "cuda"
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []  # what the graph reads, always the same memory
        self._output = torch.empty(0)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Call the function with `inputs`, wherever they lie; each must keep the shape that it had at the first call."""
        here = [each.to(self._device, non_blocking=True) for each in inputs]
        if not self.replays:
            return self._function(*here)
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._beside(here)
        self._graph = self._graph or self._recorded(here)
        if self._graph is None:
            return self._function(*here)
        for kept, each in zip(self._inputs, here, strict=True):
            kept.copy_(each)
        self._graph.replay()
        return self._output

    def _beside(self, inputs: list[Tensor]) -> Tensor:
        """Call the function on a stream of its own, as a recording will: some libraries keep their memory by stream."""
        stream, usual = torch.cuda.Stream(self._device), torch.cuda.current_stream(self._device)
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            output = self._function(*inputs)
        usual.wait_stream(stream)
        return output

    def _recorded(self, inputs: list[Tensor]) -> torch.cuda.CUDAGraph | None:
        self._inputs = [each.clone() for each in inputs]
        graph, usual = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        try:
            # Only what this thread does ends the recording: another draws the next batch meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._output = self._function(*self._inputs)
        except RuntimeError as error:
            log.warning("This step cannot be recorded as a CUDA graph, which costs speed and nothing else: %s", error)
            torch.cuda.set_stream(usual)  # which a recording that failed does not go back to
            self.replays = False
            return None
        return graph
