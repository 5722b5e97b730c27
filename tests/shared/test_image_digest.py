"""A slide is told by all of its bytes, also where they lie in several files."""

import hashlib
from pathlib import Path

import pytest

from c2lst_shared.errors import BadInput
from c2lst_shared.images.digest import image_digest


def test_digest_of_one_file_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "slide.svs").write_bytes(b"pixels")
    assert image_digest(tmp_path / "slide.svs") == hashlib.sha256(b"pixels").hexdigest()


@pytest.mark.parametrize(
    ("index", "other"), [("slide.mrxs", "slide/Data0000.dat"), ("slide.vms", "slide-1.jpg"), ("folder", "folder/0/0.0")]
)
def test_digest_covers_every_file_of_a_slide(tmp_path: Path, index: str, other: str) -> None:
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / other).write_bytes(b"pixels")
    if index != "folder":
        (tmp_path / index).write_text("[Virtual Microscope Specimen]\nImageFile=slide-1.jpg\n")
    before = image_digest(tmp_path / index)
    (tmp_path / "unrelated.jpg").write_bytes(b"other pixels")
    assert image_digest(tmp_path / index) == before
    (tmp_path / other).write_bytes(b"others")
    assert image_digest(tmp_path / index) != before


def test_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no image .*absent\.jpg"):
        image_digest(tmp_path / "absent.jpg")
