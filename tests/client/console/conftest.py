"""A state folder for the console, and somebody who is signed in there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes.console_site import lively_home
from fakes.signed_in_at_console import AtConsole, sign_in

from c2lst_client.home import Home


@pytest.fixture(scope="session")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in the middle of its life, to be copied."""
    return lively_home(tmp_path_factory.mktemp("lively") / "home").path


@pytest.fixture
def home(tmp_path: Path, lively: Path) -> Home:
    """A copy of it."""
    return Home(Path(shutil.copytree(lively, tmp_path / "home")))


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """A state folder before anything was done."""
    return Home(tmp_path / "home")


@pytest.fixture
def at(home: Home) -> AtConsole:
    """Somebody who is signed in at the lively one."""
    return sign_in(home)
