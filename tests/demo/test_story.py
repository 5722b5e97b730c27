"""The demo tells the whole story with real commands, can be stopped anywhere, and ends in one sentence when it cannot begin."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from c2lst_demo.folder import SITE
from c2lst_shared.errors import Interrupted


def demo_process(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "c2lst_demo", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_demo(*arguments: str) -> tuple[int, str]:
    process = demo_process(*arguments)
    output, _ = process.communicate()
    return process.returncode, output


@pytest.mark.slow
def test_bad_data_ends_with_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    code, output = run_demo("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 2
    assert output.splitlines() == [
        f"Error: {tmp_path} has no folder central/ and no folder site/; it needs central/ and site/."
    ]


@pytest.mark.slow
def test_site_without_spots_ends_with_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("central", "site"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "central" / "one.png").touch()
    code, output = run_demo("--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"))
    assert code == 2
    assert len(output.splitlines()) == 1
    assert "holds no spots that can be read" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # some twenty programs start in each of two runs, and the predictor is trained in full
def test_story_stopped_then_told_to_its_end_then_told_again(tmp_path: Path) -> None:
    """One story in three runs: each needs what the one before left."""
    out = tmp_path / "out"
    arguments = ("--fast", "--out", str(out))

    stopped = demo_process(*arguments)
    assert stopped.stdout is not None
    for line in stopped.stdout:
        if line.startswith("$ c2lst-client pull"):
            break
    children = psutil.Process(stopped.pid).children(recursive=True)
    assert any("serve" in child.cmdline() for child in children)
    stopped.send_signal(signal.SIGINT)
    rest = stopped.communicate()[0]
    assert stopped.returncode == Interrupted.exit_code
    assert "the same command goes on" in rest
    assert not any(child.is_running() for child in children)

    code, output = run_demo(*arguments)
    assert code == 0, output
    assert "What came out" in output
    report = out / "institution" / "sites" / SITE / "report.html"
    assert report.stat().st_size > 10_000
    assert report.as_uri() in output

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    code, again = run_demo(*arguments)
    assert code == 0, again
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == made
    assert "$ c2lst-server publish" not in again
    assert "$ c2lst-client enroll" not in again
