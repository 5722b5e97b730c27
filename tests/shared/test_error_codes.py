"""Every error has its code, by its class; nothing of its words is looked at."""

from __future__ import annotations

import errno
import sqlite3

import pytest
import torch

from c2lst_shared.error_codes import PASSING, error_code
from c2lst_shared.errors import BadArtefact, BadInput, Busy, C2lstError, NoSpace, TransferFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("There is no /data/MRN-4711."), "bad_input"),
        (NoSpace("full"), "disk"),
        (BadArtefact("damaged"), "bad_artefact"),
        (TransferFailed("away"), "network"),
        (Busy("another"), "busy"),
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (sqlite3.OperationalError("database or disk is full"), "disk"),
        (C2lstError("Training diverged"), "internal"),
        (ValueError("MRN-4711"), "internal"),
        (KeyError("x"), "internal"),
    ],
)
def test_error_has_its_code(error, code):
    assert error_code(error) == code


def test_cause_is_looked_at_where_a_library_wraps_it():
    wrapped = RuntimeError("cannot write")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert error_code(wrapped) == "disk"


def test_time_may_mend_the_network_and_the_disk_and_nothing_of_the_site_s_data():
    assert {"network", "disk", "busy"} == PASSING
