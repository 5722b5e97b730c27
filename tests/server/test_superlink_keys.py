"""Whose keys SuperLink lets in, and its own certificate."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from c2lst_server.federation.control import FlowerRun, LinkedNode
from c2lst_server.federation.keys_in_step import keep_in_step
from c2lst_server.federation.link import NAME, RENEW, Link
from c2lst_server.federation.superlink import end_runs, give_runs, superlink_command
from c2lst_shared.flower.fab import ROUND, build_fab


class FakeControl:
    """SuperLink's list of keys and runs, as Flower 1.41 keeps it: a key that was taken off stays and cannot come again."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.started: list[dict[str, str]] = []
        self.stopped: list[int] = []
        self.known: list[FlowerRun] = []
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("CREATE TABLE node (node_id INTEGER PRIMARY KEY, public_key BLOB UNIQUE, status TEXT)")

    def nodes(self) -> list[LinkedNode]:
        rows = self._do("SELECT node_id, public_key, status FROM node")
        return [LinkedNode(number, key.decode(), status, None, 30) for number, key, status in rows]

    def register(self, key: str) -> None:
        self._do("INSERT INTO node (public_key, status) VALUES (?, 'registered')", key.encode())

    def unregister(self, node_id: int) -> None:
        self._do("UPDATE node SET status = 'unregistered' WHERE node_id = ?", node_id)

    def runs(self) -> list[FlowerRun]:
        return self.known

    def start_run(self, given: bytes, config: dict[str, str]) -> None:
        assert given == build_fab()
        self.started.append(config)

    def stop_run(self, run_id: int) -> None:
        self.stopped.append(run_id)

    def active(self) -> set[str]:
        return {node.public_key_pem for node in self.nodes() if node.status != "unregistered"}

    def _do(self, statement: str, *values: object) -> list[tuple[int, bytes, str]]:
        with closing(sqlite3.connect(self._database)) as connection, connection:
            return connection.execute(statement, values).fetchall()


@pytest.fixture
def control(tmp_path: Path) -> FakeControl:
    return FakeControl(tmp_path / "state.sqlite3")


def test_keys_follow_the_sites(control: FakeControl, tmp_path: Path) -> None:
    database = tmp_path / "state.sqlite3"

    for keys, changes in (({"a", "b"}, (2, 0)), ({"a", "b"}, (0, 0)), ({"b", "c"}, (1, 1)), (set(), (0, 2)), ({"a"}, (1, 0))):
        assert keep_in_step(keys, control, database) == changes  # type: ignore[arg-type]
        assert control.active() == keys


def test_each_open_round_has_one_run(control: FakeControl) -> None:
    control.known = [FlowerRun(1, {ROUND: "x"}, "running"), FlowerRun(2, {ROUND: "y"}, "finished")]

    assert give_runs(["x", "y", "z"], control) == ["y", "z"]  # type: ignore[arg-type]
    assert control.started == [{ROUND: "y"}, {ROUND: "z"}]


def test_runs_without_processes_are_ended(control: FakeControl) -> None:
    control.known = [FlowerRun(1, {}, "running"), FlowerRun(2, {}, "finished"), FlowerRun(3, {}, "pending")]

    end_runs(control)  # type: ignore[arg-type]

    assert control.stopped == [1, 3]


def test_node_was_seen_at_its_last_heartbeat() -> None:
    until = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)

    assert LinkedNode(1, "key", "online", until, 30).last_seen == until - timedelta(seconds=60)
    assert LinkedNode(1, "key", "offline", until, 30).last_seen == until
    assert LinkedNode(1, "key", "registered", None, 30).last_seen is None


def test_certificate_is_for_this_machine_and_renewed_in_time(tmp_path: Path) -> None:
    link = Link(tmp_path)
    assert link.renew_certificate()
    assert not link.renew_certificate()
    made = x509.load_pem_x509_certificate(link.certificate.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert link.private_key.stat().st_mode & 0o077 == 0

    assert link.renew_certificate(made.not_valid_after_utc - RENEW + timedelta(seconds=1))
    assert link.renew_certificate(datetime.now(UTC) + timedelta(days=5000))


def test_superlink_is_started_with_authentication_and_without_installs(tmp_path: Path) -> None:
    command = superlink_command(Link(tmp_path, 9100))

    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
    assert "--insecure" not in command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--isolation") + 1] == "process"
