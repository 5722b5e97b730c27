"""kill -9 in front of any change of the disk: sites accept what is served, and the same command finishes the work."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import killed
from fakes.central import Central

from c2lst_server.db.models import Release
from c2lst_server.publishing.catalogue import read_catalogue, reading, signed_targets
from c2lst_server.publishing.check import check_as_client
from c2lst_shared.release.targets import FILES, complete_numbers, target_path

MOST = 400  # changes that an action may take


def check_sites_accept(central: Central, before: dict[str, bytes]) -> None:
    """As a site that pulled before, and as a new one; every file of every release that is signed is there and right."""
    signed = signed_targets(central.home, "mob")
    metadata = {path.name: path.read_bytes() for path in central.home.metadata.glob("*.json")}
    there = [target_path("mob", number, file) for number in complete_numbers(signed, "mob") for file in FILES]
    for seen in ({}, before):
        check_as_client(metadata["1.root.json"], seen, metadata.get, central.home.targets, there)


def seen_by_a_site(central: Central) -> dict[str, bytes]:
    repository = reading(central.home)
    versions = {name: f"{meta.version}.{name}" for name, meta in repository.snapshot().meta.items()}
    versions["snapshot.json"] = f"{repository.timestamp().snapshot_meta.version}.snapshot.json"
    versions["timestamp.json"] = "timestamp.json"
    return {name: repository.read(served) for name, served in versions.items()}


def releases(central: Central) -> list[str]:
    return [release.name for release in read_catalogue(central.home).releases]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "after"),
    [
        (killed.publish_second, ["mob/1", "mob/2"]),
        (killed.withdraw_first, []),
        (killed.renew, ["mob/1"]),
        (killed.refresh, ["mob/1"]),
        (killed.rotate_timestamp, ["mob/1"]),
        (killed.add_targets_key, ["mob/1"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_kill_at_any_change_leaves_what_sites_accept(
    template: Central, tmp_path: Path, act: Callable[[Central], None], after: list[str]
) -> None:
    base = template.copy(tmp_path / "base")
    base.add_run("second")
    for changes in range(MOST):
        central = base.copy(tmp_path / str(changes))
        before = seen_by_a_site(central)
        ended = killed.run(act, central.home.path, changes)
        assert ended in (-signal.SIGKILL, 0)
        check_sites_accept(central, before)
        assert releases(central) in (["mob/1"], after)
        repeated = killed.run(act, central.home.path)
        assert repeated == 0 or releases(central) == after != ["mob/1"]  # there was nothing left to publish or withdraw
        check_sites_accept(central, before)
        assert releases(central) == after
        with central.session() as session:
            assert session.query(Release).count() == max(1, len(after))
        central.engine.dispose()
        if ended == 0:
            break
    assert 3 < changes < MOST - 1
