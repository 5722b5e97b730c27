"""The FAB is the same bytes everywhere, is one that Flower takes, and holds nothing."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

from c2lst_shared.flower.fab import ROUND, build_fab, fab_sha256

# A change here means that every site must pin another FAB: raise the package's version with it.
GOLDEN = "8ba697589bf75d52237bc23242e92cecf876d590070a0f11b5dbcb173acfbb53"


def test_fab_is_the_one_that_sites_pin() -> None:
    assert fab_sha256() == GOLDEN


def test_another_process_makes_the_same_fab() -> None:
    program = "from c2lst_shared.flower.fab import fab_sha256; print(fab_sha256())"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert made.strip() == fab_sha256()


def test_flower_takes_the_fab() -> None:
    from flwr.common.config import get_fab_config, get_metadata_from_config, validate_config

    config = get_fab_config(build_fab())

    assert validate_config(config, check_module=False)[:2] == (True, [])
    assert get_metadata_from_config(config)[0] == "c2lst/rounds"
    assert config["tool"]["flwr"]["app"]["config"] == {ROUND: ""}


def test_fab_is_a_shim() -> None:
    with zipfile.ZipFile(io.BytesIO(build_fab())) as archive:
        code = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")]

    lines = [line for text in code for line in text.splitlines() if line and not line.startswith('"""')]
    assert sorted(lines) == [
        "from c2lst_client.federation.boundary import app as app",
        "from c2lst_server.federation.run import app as app",
    ]


def test_what_the_fab_names_is_there_and_does_nothing() -> None:
    from c2lst_client.federation import boundary
    from c2lst_server.federation import run

    assert type(boundary.app).__name__ == "ClientApp"
    assert type(run.app).__name__ == "ServerApp"
