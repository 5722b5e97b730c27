"""A line of the audit log cannot be changed, removed or put in without that being noticed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from c2lst_client.audit import START, AuditLog, Entry, verify_chain
from c2lst_shared.errors import BadArtefact


def entry(number: int = 0) -> Entry:
    return Entry(method="GET", path=f"/tuf/{number}", bytes_out=0, bytes_in=number, status=200)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    for number in range(4):
        AuditLog(path).append(entry(number))
    return path


def test_untouched_log_is_whole(log: Path) -> None:
    assert verify_chain(log) == 4
    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == ["/tuf/0", "/tuf/1", "/tuf/2", "/tuf/3"]


def test_log_that_does_not_exist_yet_is_whole(tmp_path: Path) -> None:
    assert verify_chain(tmp_path / "audit.log") == 0
    assert AuditLog(tmp_path / "audit.log").head == START


def test_log_is_for_its_owner_only(log: Path) -> None:
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(lambda lines: [lines[0].replace(b'"bytes_in":0', b'"bytes_in":1'), *lines[1:]], 2, id="number changed"),
        pytest.param(lambda lines: lines[1:], 1, id="first removed"),
        pytest.param(lambda lines: [*lines[:2], lines[3]], 3, id="one removed"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], 2, id="one repeated"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2, id="two swapped"),
        pytest.param(lambda lines: [*lines[:3], lines[3].removesuffix(b"\n")], 4, id="last cut short"),
        pytest.param(lambda lines: [*lines, b"{}\n"], 5, id="something put in"),
        pytest.param(lambda lines: [*lines[:3], b"\n", lines[3]], 4, id="empty line put in"),
    ],
)
def test_changed_log_is_noticed_at_its_line(log: Path, change: Callable[[list[bytes]], list[bytes]], line: int) -> None:
    before = log.read_bytes()
    log.write_bytes(b"".join(change(before.splitlines(keepends=True))))
    assert log.read_bytes() != before
    with pytest.raises(BadArtefact, match=f"was changed at line {line};"):
        verify_chain(log)


def test_head_that_was_kept_elsewhere_shows_a_cut_off_end(log: Path) -> None:
    head = AuditLog(log).head
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    assert verify_chain(log) == 3
    assert AuditLog(log).head != head


def test_incomplete_last_line_is_not_written_on(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-5])
    with pytest.raises(BadArtefact, match="ends in an incomplete line"):
        AuditLog(log).append(entry())


def test_lines_of_several_writers_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: AuditLog(path).append(entry(number)), range(20)))
    assert verify_chain(path) == 20


def test_line_that_the_disk_takes_in_part_is_taken_back(log: Path) -> None:
    """In a process of its own, which may make the file no longer than a few bytes more."""
    before = log.read_bytes()
    code = f"""
import resource, signal, sys
from pathlib import Path
from c2lst_client.audit import AuditLog, Entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, resource.RLIM_INFINITY))
try:
    AuditLog(Path({str(log)!r})).append(Entry(method="GET", path="/tuf/9", bytes_out=0, bytes_in=0))
except OSError:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert log.read_bytes() == before
    AuditLog(log).append(entry(5))
    assert verify_chain(log) == 5
