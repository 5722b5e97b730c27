"""Release files have one name in the signed metadata and one on the server."""

from __future__ import annotations

import pytest

from c2lst_shared.errors import BadInput
from c2lst_shared.release.targets import FILES, check_organ, complete_numbers, served_path, target_path


def test_target_is_served_under_its_digest() -> None:
    assert served_path(target_path("mob", 3, "weights.safetensors"), "ab12") == "mob/3/ab12.weights.safetensors"


def test_numbers_are_those_of_complete_releases_of_the_organ() -> None:
    paths = [target_path("mob", number, file) for number in (10, 2) for file in FILES]
    paths += [
        target_path("mob", 3, FILES[0]),
        *(target_path("breast", 4, file) for file in FILES),
        "mob/0/x",
        "mob/07/manifest.json",
    ]
    assert complete_numbers(paths, "mob") == [2, 10]


@pytest.mark.parametrize("organ", ["", "Mob", "1mob", "mob/1", "..", "mob\n", "targets", "root", "a" * 33])
def test_organ_with_a_bad_name_is_refused(organ: str) -> None:
    with pytest.raises(BadInput, match="cannot name an organ"):
        check_organ(organ)


def test_organ_with_dashes_is_accepted() -> None:
    assert check_organ("breast-her2") == "breast-her2"
