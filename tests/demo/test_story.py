"""The demo tells the whole story with real commands, can be stopped anywhere, and ends in one sentence when it cannot begin."""

from __future__ import annotations

import gzip
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil  # type: ignore[import-untyped]
import pytest
from fakes.real_data import DATA, needs_data
from PIL import Image

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
@pytest.mark.timeout(1800)  # some twenty programs start in each of the runs
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
    _, alive = psutil.wait_procs(children, timeout=10)  # also until whoever adopted them has buried them
    assert not alive

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


def cut_corner(folder: Path) -> None:
    """A corner of the mouse olfactory bulb as a data folder: part of one central section, and the spots of a part of Rep11."""
    (folder / "central").mkdir(parents=True)
    (folder / "site").mkdir()
    with Image.open(DATA / "mob" / "central" / "section_01.jpg") as section:
        width, height = section.size
        middle = (width // 2 - 400, height // 2 - 400, width // 2 + 400, height // 2 + 400)
        section.crop(middle).save(folder / "central" / "section.png")
    with Image.open(DATA / "mob" / "site" / "Rep11.jpg") as slide:
        left, top, right, bottom = (
            slide.width // 2 - 350,
            slide.height // 2 - 350,
            slide.width // 2 + 350,
            slide.height // 2 + 350,
        )
        slide.crop((left, top, right, bottom)).save(folder / "site" / "corner.png")
    spots = pd.read_csv(DATA / "mob" / "site" / "Rep11_spots.tsv", sep="\t")
    inside = spots[spots.pixel_x.between(left + 40, right - 40) & spots.pixel_y.between(top + 40, bottom - 40)]
    inside.assign(pixel_x=inside.pixel_x - left, pixel_y=inside.pixel_y - top).to_csv(
        folder / "site" / "corner_spots.tsv", sep="\t", index=False
    )
    counts = pd.read_csv(DATA / "mob" / "site" / "Rep11.tsv.gz", sep="\t", index_col=0).loc[inside.spot]
    with gzip.open(folder / "site" / "corner.tsv.gz", "wt") as file:
        counts.to_csv(file, sep="\t")


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_story_on_a_corner_of_real_tissue(tmp_path: Path) -> None:
    cut_corner(tmp_path / "corner")
    out = tmp_path / "out"
    code, output = run_demo("--fast", "--data", str(tmp_path / "corner"), "--out", str(out))
    assert code == 0, output
    assert "What came out" in output
    page = (out / "institution" / "sites" / SITE / "report.html").read_text()
    assert "corner/1" in page  # the release is named after the folder
    assert "Pcp4" in page or "Fth1" in page


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv, of util-linux, is not there")
def test_commands_of_a_killed_demo_end(tmp_path: Path) -> None:
    killed = demo_process("--fast", "--out", str(tmp_path / "out"))
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith("$ c2lst-server train"):
            break
    until = time.monotonic() + 60
    while not (children := psutil.Process(killed.pid).children(recursive=True)) and time.monotonic() < until:
        time.sleep(0.05)  # the command is shown before it is started
    killed.kill()
    killed.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert children
    assert not alive
