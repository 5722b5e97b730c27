"""Where the console listens, and what its command says."""

from __future__ import annotations

import json
import socket

import pytest
from typer.testing import CliRunner

from c2lst_client.cli import app
from c2lst_client.console.access_token import read_token
from c2lst_client.console.serve import Place, check_place
from c2lst_client.home import Home
from c2lst_shared import locking
from c2lst_shared.errors import BadInput, Busy


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "hospital.example"])
def test_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(BadInput, match="SSH tunnel"):
        check_place(Place(host=host))
    check_place(Place(host=host, in_container=True))


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (Place(), "http://127.0.0.1:8470"),
        (Place(9000, "::1"), "http://[::1]:9000"),
        (Place(8470, "0.0.0.0", in_container=True), "http://127.0.0.1:8470"),
    ],
)
def test_address_is_one_that_a_browser_on_this_machine_opens(place: Place, address: str) -> None:
    check_place(place)
    assert place.address == address


def test_token_is_shown_made_anew_and_printed_as_json(empty: Home) -> None:
    def say(*words: str) -> str:
        outcome = CliRunner().invoke(app, ["console", "--home", str(empty.path), *words])
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    token = say("--show-token").strip()
    assert token == read_token(empty)
    assert json.loads(say("--show-token", "--json")) == {"token": token}
    assert say("--show-token", "--new-token").strip() == read_token(empty) != token


def test_port_that_is_taken_is_named(empty: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = CliRunner().invoke(app, ["console", "--home", str(empty.path), "--port", str(port)])
    assert isinstance(outcome.exception, BadInput)
    assert f"127.0.0.1:{port}" in str(outcome.exception)


def test_second_console_of_a_state_folder_is_refused(empty: Home) -> None:
    with locking.locked(empty.console_lock, ""):
        outcome = CliRunner().invoke(app, ["console", "--home", str(empty.path)])
    assert isinstance(outcome.exception, Busy)
    assert "runs already" in str(outcome.exception)
