"""A transfer that breaks off goes on where it was; what is not the signed file is never put in place."""

from __future__ import annotations

import errno
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from fakes.answering import connected, replying
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from c2lst_client import egress as egress_module
from c2lst_client.egress import HttpStatus
from c2lst_client.trust import fetch as fetch_module
from c2lst_client.trust.fetch import Patience, Transfer, writable
from c2lst_shared.errors import BadArtefact, BadInput, TransferFailed

CONTENT = bytes(range(256)) * 40
INFO = TargetFile.from_data("mob/1/weights", CONTENT, ["sha256"])
AT_ONCE = Patience(attempts=3, first_wait=0)


class FlakyServer:
    """Serves CONTENT, with or without Range, and breaks each answer off after so many bytes; at last it does not."""

    def __init__(self, breaks: list[int], *, ranges: bool = True, content: bytes = CONTENT) -> None:
        self._breaks = breaks
        self._ranges = ranges
        self._content = content
        self.asked: list[str | None] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append(asked)
        first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self._ranges else 0  # type: ignore[index]
        rest = self._content[first:]
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(self._content) - 1}/{len(self._content)}")
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        sent = self._breaks.pop(0) if self._breaks else len(rest)
        request.wfile.write(rest[:sent])
        request.close_connection = True


class Heard:
    """What a fetch told."""

    def __init__(self) -> None:
        self.bytes, self.troubles = 0, 0

    def on_bytes(self, count: int) -> None:
        self.bytes += count

    def on_trouble(self, note: str) -> None:
        assert note.startswith("connection lost")
        self.troubles += 1


def fetched(server: object, folder: Path, patience: Patience = AT_ONCE) -> Heard:
    heard = Heard()
    with connected(server, folder / "audit.log") as egress:  # type: ignore[arg-type]
        transfer = Transfer(egress, patience, heard.on_bytes, heard.on_trouble)
        transfer.fetch("/tuf/targets/weights", INFO, folder / "weights")
    assert (folder / "weights").read_bytes() == CONTENT
    assert heard.bytes == len(CONTENT)
    assert not part(folder).exists()
    return heard


def part(folder: Path) -> Path:
    return folder / f"weights.{INFO.hashes['sha256'][:16]}.part"


@settings(max_examples=25, deadline=None)
@given(breaks=st.lists(st.integers(0, len(CONTENT) - 1), max_size=2), ranges=st.booleans())
def test_drops_anywhere_end_in_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[int], ranges: bool
) -> None:
    fetched(FlakyServer(list(breaks), ranges=ranges), tmp_path_factory.mktemp("drop"))


def test_drops_that_bring_something_are_tried_again_for_ever(tmp_path: Path) -> None:
    server = FlakyServer([100] * 20)
    assert fetched(server, tmp_path).troubles == 20
    assert server.asked[:3] == [None, "bytes=100-", "bytes=200-"]


def test_server_that_brings_nothing_is_given_up_and_what_came_is_kept(tmp_path: Path) -> None:
    with pytest.raises(TransferFailed):
        fetched(FlakyServer([500, 0, 0, 0, 0]), tmp_path)
    assert part(tmp_path).read_bytes() == CONTENT[:500]
    server = FlakyServer([])
    fetched(server, tmp_path)
    assert server.asked == ["bytes=500-"]


def test_whole_file_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    fetched(FlakyServer([]), tmp_path)
    server = FlakyServer([])
    fetched(server, tmp_path)
    assert server.asked == []


def test_part_that_was_spoilt_is_fetched_anew(tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"spoilt" * 50)
    server = FlakyServer([])
    fetched(server, tmp_path)
    assert server.asked == ["bytes=300-", None]


def test_part_of_another_file_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "weights.0000000000000000.part").write_bytes(b"of an earlier one")
    server = FlakyServer([])
    fetched(server, tmp_path)
    assert server.asked == [None]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"], ids=["changed", "longer"])
def test_other_file_is_refused_and_nothing_of_it_kept(tmp_path: Path, content: bytes) -> None:
    with pytest.raises((LengthOrHashMismatchError, BadArtefact)):
        fetched(FlakyServer([], content=content), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "weights" in path.name] == []


def test_file_changed_in_the_middle_of_a_download_is_refused(tmp_path: Path) -> None:
    part(tmp_path).write_bytes(CONTENT[:500])
    with pytest.raises(LengthOrHashMismatchError):
        fetched(FlakyServer([], content=b"x" * len(CONTENT)), tmp_path)
    assert not part(tmp_path).exists()


def test_server_that_asks_for_patience_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(fetch_module.time, "sleep", slept.append)
    replies = [b"HTTP/1.1 429 x\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n"]
    flaky = FlakyServer([])

    def busy_once(request: BaseHTTPRequestHandler) -> None:
        if replies:
            request.wfile.write(replies.pop())
        else:
            flaky(request)

    fetched(busy_once, tmp_path)
    assert slept == [17.0]


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (429, 3), (404, 1), (403, 1)])
def test_only_refusals_that_may_pass_are_tried_again(tmp_path: Path, status: int, asked: int) -> None:
    times = []

    def refuse(request: BaseHTTPRequestHandler) -> None:
        times.append(1)
        replying(b"", status)(request)

    with pytest.raises(HttpStatus):
        fetched(refuse, tmp_path)
    assert len(times) == asked


def test_server_that_answers_with_another_part_is_not_believed(tmp_path: Path) -> None:
    part(tmp_path).write_bytes(CONTENT[:500])

    def another(request: BaseHTTPRequestHandler) -> None:
        replying(CONTENT[400:], 206, **{"Content-Range": f"bytes 400-{len(CONTENT) - 1}/{len(CONTENT)}"})(request)

    with pytest.raises(TransferFailed, match="another part"):
        fetched(another, tmp_path)


def test_body_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 0.0)
    monkeypatch.setattr(egress_module, "SLOWEST", 1e12)
    with pytest.raises(TransferFailed, match="too slowly"):
        fetched(FlakyServer([]), tmp_path)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "is full; make room"), (errno.EROFS, "cannot be written"), (errno.EACCES, "cannot be")],
)
def test_disk_that_takes_no_more_is_named(tmp_path: Path, number: int, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence), writable(tmp_path):
        raise OSError(number, "the disk's words")
