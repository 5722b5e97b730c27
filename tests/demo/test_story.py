"""The demo refuses what it cannot use, remembers what its folder is for, and tells the whole story with real commands."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from c2lst_demo.story import SITE, check_data, open_demo
from c2lst_shared.errors import BadInput, Interrupted


def data_folder(folder: Path) -> Path:
    """A folder that looks like data, as far as names go."""
    (folder / "central").mkdir(parents=True)
    (folder / "site").mkdir()
    (folder / "central" / "one.png").touch()
    return folder


def demo_process(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "c2lst_demo", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_demo(*arguments: str) -> tuple[int, str]:
    process = demo_process(*arguments)
    output, _ = process.communicate()
    return process.returncode, output


def test_data_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no folder .*nowhere"):
        check_data(tmp_path / "nowhere")


def test_data_without_its_two_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no folder central/ and no folder site/"):
        check_data(tmp_path)


def test_data_without_central_images_is_refused(tmp_path: Path) -> None:
    data = data_folder(tmp_path)
    (data / "central" / "one.png").unlink()
    with pytest.raises(BadInput, match="holds no image"):
        check_data(data)


@pytest.mark.parametrize(
    ("name", "organ"),
    [("mob", "mob"), ("HER2 st (new)", "her2-st-new"), ("2nd", "organ-2nd"), ("root", "organ-root"), ("a" * 40, "a" * 32)],
)
def test_organ_is_the_folder_name_made_safe(tmp_path: Path, name: str, organ: str) -> None:
    assert open_demo(data_folder(tmp_path / name), tmp_path / "out", "tiny").organ == organ


def test_demo_keeps_its_port_and_data(tmp_path: Path) -> None:
    first = open_demo(None, tmp_path / "out", "tiny")
    first.save()
    assert open_demo(None, tmp_path / "out", "tiny") == first


def test_demo_folder_of_another_preset_is_refused(tmp_path: Path) -> None:
    open_demo(None, tmp_path / "out", "tiny").save()
    with pytest.raises(BadInput, match="with preset tiny; pass another --out"):
        open_demo(None, tmp_path / "out", "small")


def test_demo_whose_port_is_taken_is_refused(tmp_path: Path) -> None:
    demo = open_demo(None, tmp_path / "out", "tiny")
    demo.save()
    with socket.socket() as other:
        other.bind(("127.0.0.1", demo.port))
        other.listen()
        with pytest.raises(BadInput, match=f"Port {demo.port}"):
            open_demo(None, tmp_path / "out", "tiny")


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    with pytest.raises(BadInput, match="is not a demo's folder"):
        open_demo(None, tmp_path, "tiny")


@pytest.mark.slow
def test_bad_data_ends_with_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    code, output = run_demo("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert code == 2
    assert output.splitlines() == [
        f"Error: {tmp_path} has no folder central/ and no folder site/; it needs central/ and site/."
    ]


@pytest.mark.slow
def test_site_without_spots_ends_with_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    code, output = run_demo("--data", str(data_folder(tmp_path / "data")), "--out", str(tmp_path / "out"))
    assert code == 2
    assert len(output.splitlines()) == 1
    assert "holds no spots that can be read" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
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
    assert "c2lst-server publish" not in again
    assert "c2lst-client enroll" not in again
