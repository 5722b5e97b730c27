"""Runs the shell blocks of pages as a reader would: one after the other in one shell, what serves in a second one.

A block titled "Second terminal" is started and left running until everything is done. One titled "Refused" must end with exit
code 2. A block of `text` right after one of `sh` shows lines of its output: numbers, digests and paths may differ, `...` stands
for any lines.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from fakes.shell_blocks import Block, blocks

PORT = "8000"  # in the pages; a free one in its place
BACKGROUND, REFUSED = "Second terminal", "Refused"
_READY = "http://127.0.0.1:{port}/healthz"
# The shell ends at the first command that fails, says before where it was, and ends what it has left running. Each job is a
# group of processes (set -m), as a subshell does not pass on what ends it.
_END = """set -m
trap 'code=$?; [ -e $now.rc ] || echo $code >$now.rc; for job in $(jobs -p); do kill -- -$job; done; wait' EXIT"""


class Told:
    """A block that was run: what it showed, and how it ended."""

    def __init__(self, page: Path, block: Block, shown: str | None, output: str, code: int) -> None:
        self.page, self.block, self.shown, self.output, self.code = page, block, shown, output, code

    @property
    def expected(self) -> int:
        """The exit code that the page promises."""
        return 2 if self.block.title == REFUSED else 0

    def missing(self) -> list[str]:
        """Lines that the page shows and the commands did not print."""
        printed = {_blurred(line) for line in self.output.splitlines()}
        lines = (self.shown or "").splitlines()
        return [line for line in lines if line.strip() not in ("", "...") and _blurred(line) not in printed]


def tell(pages: list[Path], folder: Path) -> list[Told]:
    """Run all blocks of all pages in `folder`; stop at the first that ends otherwise than promised."""
    port = _free_port()
    steps = [(page, block, shown) for page in pages for block, shown in _with_output(page)]
    script = [_END]
    for number, (_, block, _) in enumerate(steps):
        (folder / f"{number}.sh").write_text(block.text.replace(PORT, port))
        run = f"source {folder}/{number}.sh >{folder}/{number}.out 2>&1"
        script.append(f"now={folder}/{number}")
        if block.title == BACKGROUND:
            script += [f"( {run} ) &", f"until curl -fs {_READY.format(port=port)}; do sleep 0.2; done", "echo 0 >$now.rc"]
        elif block.title == REFUSED:
            script.append(f"{run}; code=$?; echo $code >$now.rc; [ $code = 2 ] || exit 1")
        else:
            script.append(f"set -e; {run}; set +e; echo 0 >$now.rc")
    work = folder / "work"
    work.mkdir()
    script_words = ["bash", "-c", "\n".join(script)]
    subprocess.run(script_words, cwd=work, env=reader_environment(), stdin=subprocess.DEVNULL, check=False)
    return [_outcome(folder, number, *step) for number, step in enumerate(steps) if (folder / f"{number}.rc").exists()]


def reader_environment() -> dict[str, str]:
    """Environment of a reader's shell: nothing is set yet, and both programs are those of this Python."""
    searched = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("C2LST_")}
    return environment | {"PATH": searched, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": _absolute()}


def _with_output(page: Path) -> list[tuple[Block, str | None]]:
    found = blocks(page)
    following = [*found[1:], Block("", "", "")]
    return [
        (block, after.text if after.language == "text" else None)
        for block, after in zip(found, following, strict=True)
        if block.language == "sh"
    ]


def _outcome(folder: Path, number: int, page: Path, block: Block, shown: str | None) -> Told:
    output = (folder / f"{number}.out").read_text()
    return Told(page, block, shown, output, int((folder / f"{number}.rc").read_text()))


def _blurred(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"(?:/[\w.+-]+)+/", "/", line.strip())  # the folder that a path is in
    line = re.sub(r"\b[0-9a-f]{12,}\b", "digest", line)
    line = re.sub(r"-?\d+(?:[.,:-]\d+)*", "0", line)
    return re.sub(r"\s+", " ", line)


def _absolute() -> str:
    given = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(":") if part]
    return ":".join(given)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
