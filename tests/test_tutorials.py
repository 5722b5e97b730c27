"""The three tutorials are run, in their order, by real processes: every command works, and shows what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.shell_blocks import blocks
from fakes.tutorial import BACKGROUND, REFUSED, tell

DOCS = Path(__file__).parents[1] / "docs" / "tutorials"
PAGES = [DOCS / f"{name}.md" for name in ("central", "hospital-it", "researcher")]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tutorials_work_as_they_stand(tmp_path: Path) -> None:
    told = tell(PAGES, tmp_path)
    for step in told:
        assert step.code == step.expected, f"{step.page.name}:\n{step.block.text}\n{step.output}"
        assert not step.missing(), f"{step.page.name}:\n{step.block.text}\n{step.output}"
    assert len(told) == sum(block.language == "sh" for page in PAGES for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_have_no_titles_that_mean_nothing(page: Path) -> None:
    assert {block.title for block in blocks(page)} <= {"", BACKGROUND, REFUSED}
