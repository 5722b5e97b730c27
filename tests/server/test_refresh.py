"""The timestamp is signed again each day, and the rest before it expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes.central import Central

from c2lst_server.publishing.catalogue import reading
from c2lst_server.publishing.refresh import refresh_timestamp, renew_targets
from c2lst_server.publishing.repository import LIFETIME
from c2lst_shared.errors import BadArtefact


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def versions(central: Central) -> dict[str, int]:
    repository = reading(central.home)
    roles = {"targets": repository.targets(), "mob": repository.targets("mob")}
    return {
        "timestamp": repository.timestamp().version,
        "snapshot": repository.snapshot().version,
        **{name: role.version for name, role in roles.items()},
    }


def test_young_timestamp_is_left_alone(central: Central) -> None:
    before = versions(central)
    assert refresh_timestamp(central.home, in_days(0.9)) == []
    assert versions(central) == before


def test_timestamp_of_a_day_is_signed_again(central: Central) -> None:
    before, now = versions(central), in_days(1.1)
    assert refresh_timestamp(central.home, now) == ["timestamp"]
    assert versions(central) == before | {"timestamp": before["timestamp"] + 1}
    assert reading(central.home).timestamp().expires == now.replace(microsecond=0) + LIFETIME["timestamp"]


def test_snapshot_of_half_its_life_is_signed_again(central: Central) -> None:
    before = versions(central)
    assert refresh_timestamp(central.home, in_days(15.1)) == ["snapshot", "timestamp"]
    assert versions(central) == before | {"timestamp": before["timestamp"] + 1, "snapshot": before["snapshot"] + 1}


def test_refreshed_server_can_publish(central: Central) -> None:
    refresh_timestamp(central.home, in_days(15.1))
    assert central.publish("second").name == "mob/2"


def test_renewal_gives_every_role_a_new_version(central: Central) -> None:
    before = versions(central)
    assert renew_targets(central.home, central.keyring) == ["targets", "mob", "snapshot", "timestamp"]
    assert versions(central) == {role: version + 1 for role, version in before.items()}


def test_timestamp_key_that_root_does_not_know_changes_nothing(central: Central) -> None:
    before = central.newest("timestamp").read_bytes()
    (central.home.keys / "timestamp.pem").write_bytes((central.home.keys / "snapshot.pem").read_bytes())
    with pytest.raises(BadArtefact, match=r"A site would refuse this metadata .*timestamp was signed by 0/1 keys"):
        refresh_timestamp(central.home, in_days(2))
    assert central.newest("timestamp").read_bytes() == before
