"""The record on the pages: every byte of the file, in pages, filtered, checked and downloaded."""

from __future__ import annotations

import html
import json
import re

import pytest
from fakes.console_site import add_record
from fakes.signed_in_at_console import AtConsole, sign_in

from c2lst_client.audit import AuditLog, Entry
from c2lst_client.audit_pages import PART_BYTES, read_line, read_page
from c2lst_client.console import record
from c2lst_client.home import Home
from c2lst_shared.errors import BadInput

LINE = re.compile(r'href="(/record/line/(\d+))"')


def lines_of(home: Home) -> list[bytes]:
    return home.audit_log.read_bytes().splitlines()


def test_pages_have_every_line_once_newest_first(empty: Home) -> None:
    log = AuditLog(empty.audit_log)
    for number in range(2 * record.PER_PAGE + 3):
        log.append(Entry(method="GET", path=f"/tuf/{number}", bytes_out=0, bytes_in=0))
    at = sign_in(empty)
    seen: list[int] = []
    address: str | None = "/record"
    while address:
        text = at.page(address)
        seen += [int(offset) for _, offset in LINE.findall(text)]
        older = re.search(r'href="(/record\?[^"]*before=\d+)"', text)
        address = html.unescape(older[1]) if older else None
    assert len(seen) == len(set(seen)) == 2 * record.PER_PAGE + 3
    assert seen == sorted(seen, reverse=True)


def test_line_is_shown_byte_for_byte_and_set_out(at: AtConsole) -> None:
    offset = 0
    for raw in lines_of(at.home):
        text = at.page(f"/record/line/{offset}")
        shown = re.search(r'<code id="raw">(.*?)</code>', text, re.DOTALL)
        assert shown
        assert html.unescape(shown[1]).encode() == raw
        content = json.loads(raw).get("content")
        pretty = re.search(r'id="content-pretty">(.*?)</pre>', text, re.DOTALL)
        assert (json.loads(html.unescape(pretty[1])) if pretty else None) == content
        offset += len(raw) + 1
    assert at.http.get("/record/line/3").status_code == 404
    assert at.http.get(f"/record/line/{offset}").status_code == 404


def test_filters_by_destination_and_schema(at: AtConsole) -> None:
    assert len(LINE.findall(at.page("/record?schema=RoundResult"))) == 1
    assert len(LINE.findall(at.page("/record?schema=none"))) == 2
    assert len(LINE.findall(at.page("/record?destination=FLEET"))) == 2
    assert len(LINE.findall(at.page("/record?destination=fleet&schema=RoundStatus"))) == 1
    assert "Nothing like that" in at.page("/record?destination=nowhere")


def test_download_is_the_file_up_to_its_last_line(at: AtConsole) -> None:
    whole = at.home.audit_log.read_bytes()
    with at.home.audit_log.open("ab") as file:
        file.write(b'{"time":')  # another process is writing
    answer = at.http.get("/record/download")
    assert answer.content == whole
    assert answer.headers["content-disposition"].startswith("attachment")


def test_line_that_was_changed_is_told(at: AtConsole) -> None:
    assert "The record is whole: 6 lines" in at.page("/record")
    assert AuditLog(at.home.audit_log).head in at.page("/record")
    at.home.audit_log.write_bytes(at.home.audit_log.read_bytes().replace(b"731", b"730"))
    assert "was changed at line 3" in at.page("/record")


def test_long_record_is_checked_when_asked(at: AtConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "VERIFIED_AT_ONCE", 10)
    assert "checked line by line" in at.page("/record")
    assert "The record is whole" in at.send("/record").text


def test_line_that_is_no_entry_is_shown_all_the_same(at: AtConsole) -> None:
    with at.home.audit_log.open("ab") as file:
        file.write(b"\xff not an entry <b>\n")
    text = at.page("/record")
    assert "cannot be read as an entry" in text
    (address, _), *_ = LINE.findall(text)
    assert "\\xff not an entry &lt;b&gt;" in at.page(address)


def test_reading_is_bounded_however_long_the_record_is(empty: Home) -> None:
    empty.path.mkdir()
    line = Entry(method="GET", path="/tuf/x", bytes_out=0, bytes_in=0).model_dump_json().encode() + b"\n"
    count = 2 * PART_BYTES // len(line)
    empty.audit_log.write_bytes(line * count)
    page = read_page(empty.audit_log, wanted=lambda _: False)
    assert page.lines == []
    assert page.older is not None
    assert len(line) * count - page.older <= PART_BYTES
    found = 0
    before: int | None = None
    while True:
        page = read_page(empty.audit_log, before=before, count=10**6)
        found += len(page.lines)
        if page.older is None:
            break
        before = page.older
    assert found == count


def test_offset_within_a_line_is_refused(empty: Home) -> None:
    add_record(empty)
    assert read_line(empty.audit_log, 0).entry
    for offset in (1, 10**9):
        with pytest.raises(BadInput, match="begins at byte"):
            read_line(empty.audit_log, offset)
