"""Tests run on one torch thread each (small tensors gain nothing from more, and parallel workers share the cores), and leave
logging as they found it.
"""

import logging
from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def logs_end_with_the_test() -> Iterator[None]:
    """Take off what a command that a test ran in this process has put up: it writes to a stream that is closed by then."""
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
            root.setLevel(logging.WARNING)
