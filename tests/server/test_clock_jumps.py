"""The centre's clock jumps ahead and comes back while it serves: sites accept what is served, meanwhile and afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fakes.central import Central, serving
from fakes.federation import wait_for

from c2lst_server import app
from c2lst_server.app import create_app
from c2lst_server.publishing.catalogue import reading
from c2lst_server.publishing.check import check_as_client
from c2lst_shared.release.targets import FILES, target_path


class Clock:
    """The centre's, which a test sets."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(app, "REFRESH_SECONDS", 0.05)
    return Clock()


def metadata(central: Central) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in central.home.metadata.glob("*.json")}


def check_sites_accept(central: Central, seen: dict[str, bytes]) -> None:
    """A new site, and one that has seen what was served before."""
    served = metadata(central)
    for before in ({}, seen):
        there = [target_path("mob", 1, file) for file in FILES]
        check_as_client(served["1.root.json"], before, served.get, central.home.targets, there)


def seen_by_a_site(central: Central) -> dict[str, bytes]:
    served = metadata(central)
    snapshot = reading(central.home).timestamp().snapshot_meta.version
    return {"timestamp.json": served["timestamp.json"], "snapshot.json": served[f"{snapshot}.snapshot.json"]}


@pytest.mark.parametrize("days", [8, 40], ids=["past the timestamp", "past the snapshot"])
def test_jump_is_followed_and_its_end_does_no_harm(central: Central, clock: Clock, days: int) -> None:
    with (
        serving(central, application=create_app(central.settings, clock=clock)),
        httpx.Client(base_url=central.url, trust_env=False) as http,
    ):
        wait_for(lambda: http.get("/readyz").status_code == 200, 60, "the service is ready")
        before, version = seen_by_a_site(central), reading(central.home).timestamp().version
        clock.ahead = timedelta(days=days)
        wait_for(lambda: reading(central.home).timestamp().expires > clock(), 60, "the timestamp is signed again")
        wait_for(lambda: http.get("/readyz").status_code == 200, 60, "the service is ready at the later time")
        check_sites_accept(central, before)
        ahead, signed = seen_by_a_site(central), reading(central.home).timestamp().version
        assert signed == version + 1
        clock.ahead = timedelta()
        wait_for(lambda: http.get("/readyz").status_code == 200, 60, "the service is ready when the clock is right again")
        assert http.get("/api/v1/releases").status_code == 200
        check_sites_accept(central, ahead)
        assert reading(central.home).timestamp().version == signed  # what is valid for longer than usual is left alone


def test_clock_that_is_set_back_leaves_everything_valid(central: Central, clock: Clock) -> None:
    before = seen_by_a_site(central)
    clock.ahead = -timedelta(days=400)
    with serving(central, application=create_app(central.settings, clock=clock)):
        with httpx.Client(base_url=central.url, trust_env=False) as http:
            assert http.get("/readyz").status_code == 200
        check_sites_accept(central, before)
    assert seen_by_a_site(central) == before
