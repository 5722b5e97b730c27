"""The three tutorials are run, in their order, by real processes: every command works, and shows what the page says."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from fakes.federation import wait_for
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


def test_a_page_is_run_as_it_stands_and_what_it_leaves_running_is_ended(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        """```sh
touch healthz && export HERE=$PWD
```

```sh title="Second terminal"
python -m http.server 8000
```

```sh title="Refused"
(exit 2)
```

```sh
echo "$HERE has 12 spots"
```

```text
/home/alice/work has 87 spots
it has 3 slides
```

```sh
false
```

```sh
echo never
```
"""
    )
    told = tell([page], tmp_path)
    assert [step.code for step in told] == [0, 0, 2, 0, 1]
    assert told[3].missing() == ["it has 3 slides"]
    work = str(tmp_path / "work")
    wait_for(lambda: all(each.info["cwd"] != work for each in psutil.process_iter(["cwd"])), 60, "something is left running")
