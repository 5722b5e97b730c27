"""A demo refuses data and folders that it cannot use, and remembers what its folder is for."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from c2lst_demo.folder import check_data, open_demo
from c2lst_shared.errors import BadInput


def data_folder(folder: Path) -> Path:
    """A folder that looks like data, as far as names go."""
    (folder / "central").mkdir(parents=True)
    (folder / "site").mkdir()
    (folder / "central" / "one.png").touch()
    return folder


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
