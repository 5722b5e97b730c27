"""Alive and ready are two answers: each thing that the service needs can be missing, and strangers learn only that one is."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes.central import Central, serving

from c2lst_server import readiness
from c2lst_server.readiness import NotFit, Readiness, check_metadata, examine, readiness_checks
from c2lst_shared.errors import BadArtefact


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """What uvicorn's error log is told, whatever log settings another server left in this process."""
    log = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    with caplog.at_level(logging.INFO, "uvicorn.error"):
        yield caplog


def answers(central: Central) -> tuple[httpx.Response, httpx.Response]:
    with httpx.Client(base_url=central.url, trust_env=False) as http:
        return http.get("/healthz"), http.get("/readyz")


def test_service_with_all_that_it_needs_is_alive_and_ready(central: Central) -> None:
    with serving(central):
        alive, ready = answers(central)
    for answer in (alive, ready):
        assert answer.status_code == 200
        assert set(answer.json()) == {"status", "time"}


def break_database(central: Central) -> None:
    with central.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")


def break_migrations(central: Central) -> None:
    with central.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")


def break_metadata(central: Central) -> None:
    central.newest("timestamp").write_text("{")


def break_snapshot(central: Central) -> None:
    central.newest("snapshot").unlink()


def expire_timestamp(central: Central) -> None:
    central.age_timestamp(days=8)


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (break_database, "database"),
        (break_migrations, "database"),
        (break_metadata, "metadata"),
        (break_snapshot, "metadata"),
        (expire_timestamp, "metadata"),
    ],
)
def test_service_that_lacks_something_is_alive_and_not_ready(
    central: Central, log_lines: pytest.LogCaptureFixture, damage: object, check: str, tmp_path: Path
) -> None:
    with serving(central):
        assert answers(central)[1].status_code == 200
        damage(central)  # type: ignore[operator]
        time.sleep(readiness.KEPT_SECONDS)  # an answer is good for so long
        alive, ready = answers(central)
    assert alive.status_code == 200
    assert (ready.status_code, ready.headers["content-type"]) == (503, "application/problem+json")
    assert ready.json()["detail"] == "The service is not ready; its log says why."
    assert str(tmp_path) not in ready.text
    assert f"Not ready: {check}: " in log_lines.text


def test_full_disk_is_not_ready(central: Central, log_lines: pytest.LogCaptureFixture) -> None:
    central.settings = central.settings.model_copy(update={"least_free": 1 << 60})
    with serving(central):
        alive, ready = answers(central)
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert "less than 1099511627776 MiB (C2LST_SERVER_LEAST_FREE)" in log_lines.text


def test_time_alone_ends_readiness(central: Central) -> None:
    """A clock that jumps ahead, or a week without a signature: each check asks the clock that it was given."""
    now = datetime.now(UTC)
    assert examine(readiness_checks(central.settings, central.engine, lambda: now)) == {}
    found = examine(readiness_checks(central.settings, central.engine, lambda: now + timedelta(days=8)))
    assert set(found) == {"metadata"}
    check_metadata(central.home, now + timedelta(days=6))
    with pytest.raises(NotFit, match="the timestamp expired at"):
        check_metadata(central.home, now + timedelta(days=8))
    break_metadata(central)
    with pytest.raises(BadArtefact):
        check_metadata(central.home, now)


def test_trouble_is_logged_when_it_comes_and_when_it_goes(log_lines: pytest.LogCaptureFixture) -> None:
    wrong = [False]

    def check() -> None:
        if wrong[0]:
            raise NotFit("it is away")

    async def look() -> None:
        ready = Readiness({"it": check}, kept=0)
        for wrong[0] in (False, True, True, False, False):
            assert bool(await ready.faults()) == wrong[0]
        ready.close()

    asyncio.run(look())
    assert [record.getMessage() for record in log_lines.records] == ["Not ready: it: it is away.", "Ready again."]


def test_asking_often_looks_once() -> None:
    looks = []

    async def ask() -> None:
        ready = Readiness({"it": lambda: looks.append(1)}, kept=60)
        await asyncio.gather(*(ready.faults() for _ in range(100)))
        await ready.faults()
        ready.close()

    asyncio.run(ask())
    assert len(looks) == 1


def test_look_that_hangs_is_not_waited_for_and_gets_no_successor() -> None:
    free, looks = threading.Event(), []

    def hang() -> None:
        looks.append(1)
        free.wait(30)

    async def ask() -> None:
        ready = Readiness({"it": hang}, kept=0, longest=0.05)
        for _ in range(3):
            began = time.monotonic()
            assert set(await ready.faults()) == {"time"}
            assert time.monotonic() - began < 5
        assert looks == [1]
        free.set()
        while await ready.faults():
            pass
        ready.close()

    asyncio.run(ask())
