"""The demo's commands: real ones, their errors passed on, the server ended whatever happens."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from c2lst_demo.answers import Catalogue, Inspected
from c2lst_demo.commands import Commands, StepFailed, free_port
from c2lst_shared.errors import BadInput, TransferFailed

pytestmark = pytest.mark.slow  # each starts real programs


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    settings = {"C2LST_SERVER_HOME": str(tmp_path / "central"), "C2LST_HOME": str(tmp_path / "institution")}
    return Commands(Console(file=io.StringIO()), settings)


@pytest.fixture
def initialised(commands: Commands, tmp_path: Path) -> Commands:
    commands.run("c2lst-server", "init", "--passphrase-file", str(tmp_path / "passphrase"), "--make-passphrase-file")
    return commands


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.URLError:
        return False


def test_answer_of_a_command_is_read(initialised: Commands) -> None:
    assert initialised.ask(Catalogue, "c2lst-server", "releases", "list", "--json").releases == []


def test_bad_input_of_a_command_is_passed_on_as_its_sentence(commands: Commands, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^There is no file or folder .*nowhere\.$"):
        commands.ask(Inspected, "c2lst-client", "inspect", str(tmp_path / "nowhere"), "--json")


def test_failed_command_gives_its_exit_code(commands: Commands) -> None:
    with pytest.raises(StepFailed, match="c2lst-server releases list") as failure:
        commands.run("c2lst-server", "releases", "list", "--no-such-option")
    assert failure.value.exit_code == 2


def test_server_answers_while_it_is_needed_and_is_gone_after_an_error(initialised: Commands, tmp_path: Path) -> None:
    port = free_port()

    def fail_while_serving() -> None:
        with initialised.serving(port, tmp_path / "server.log"):
            assert answers(port)
            raise BadInput("something else failed")

    with pytest.raises(BadInput, match="something else failed"):
        fail_while_serving()
    assert not answers(port)


def test_server_that_does_not_start_is_reported_with_its_log(commands: Commands, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(TransferFailed, match=r"server\.log says why"), commands.serving(free_port(), log):
        pytest.fail("the body of a server that is not there was run")
    assert "is not initialised" in log.read_text().replace("\n", " ")
