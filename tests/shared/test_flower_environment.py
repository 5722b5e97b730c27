"""Each Flower process has a folder of its own, reports nothing, and goes through no proxy that c2lst was not told of."""

from __future__ import annotations

from pathlib import Path

from c2lst_shared.flower.environment import QUIET, flower_environment


def test_nothing_of_the_environment_changes_flower(tmp_path: Path) -> None:
    given = {"FLWR_TELEMETRY_ENABLED": "1", "FLWR_HOME": "/elsewhere", "FLWR_INTERNAL_GRPC_FLEET_API": "1", "PATH": "/bin"}

    made = flower_environment(tmp_path / "node", inherited=given)

    assert made.items() >= QUIET.items()
    assert {name for name in made if name.startswith("FLWR_")} == {*QUIET, "FLWR_HOME"}
    assert made["FLWR_HOME"] == str(tmp_path / "node")
    assert made["PATH"] == "/bin"
    assert (tmp_path / "node").stat().st_mode & 0o077 == 0


def test_only_the_proxy_that_was_set_is_used(tmp_path: Path) -> None:
    given = {"https_proxy": "http://other:1", "ALL_PROXY": "http://other:2", "NO_PROXY": "*", "SSL_CERT_FILE": "/other.pem"}

    assert set(flower_environment(tmp_path, inherited=given)) == {*QUIET, "FLWR_HOME", "PYTHONUNBUFFERED"}
    assert flower_environment(tmp_path, proxy="http://ours:3128", inherited=given)["HTTPS_PROXY"] == "http://ours:3128"


def test_flower_reads_these_names() -> None:
    """A newer Flower that renamed one would report again without a word."""
    import flwr

    source = "".join(path.read_text() for path in Path(flwr.__file__).parent.rglob("*.py"))
    assert [name for name in QUIET if f'"{name}"' not in source] == []
