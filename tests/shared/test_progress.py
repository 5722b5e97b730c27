"""Progress where there is no terminal: a line now and then, and the last one once."""

from __future__ import annotations

import pytest

from c2lst_shared import progress as progress_module
from c2lst_shared.progress import console_progress


def test_last_line_comes_once(capsys: pytest.CaptureFixture[str]) -> None:
    with console_progress() as progress:
        progress.start("cutting", 3)
        progress.advance(2)
        progress.advance(1, "slide")
        progress.advance(0, "again")
        progress.start("writing", 1)
        progress.advance()
    assert capsys.readouterr().err.splitlines() == ["cutting: 3/3  took 0:00  slide", "writing: 1/1  took 0:00"]


def test_lines_between_say_when_it_will_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    with console_progress() as progress:
        progress.start("cutting", 4, done=1)
        progress.advance()
    assert capsys.readouterr().err == "cutting: 2/4  ETA 0:00\n"
