"""Pages hear that something changed, at little cost, and never keep the service from stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fakes.central import Central, serving
from fakes.federation import wait_for
from fakes.signed_in import SignedIn
from fastapi import FastAPI

from c2lst_server import administrators
from c2lst_server.administrators import Scope
from c2lst_server.app import create_app
from c2lst_server.dashboard.links import SeenLinks
from c2lst_server.dashboard.live import state_digest
from c2lst_server.rounds import store as rounds
from c2lst_server.sites import registry


@contextmanager
def listening(central: Central, app: FastAPI) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A browser that listens; the lines that came so far."""
    with central.session() as session:
        token = administrators.add(session, "ada", list(Scope), days=1)
    lines: list[str] = []
    with httpx.Client(base_url=central.url, trust_env=False, timeout=60) as http:
        http.post("/dashboard/sign-in", data={"token": token}, headers={"Origin": central.url})
        ended = threading.Event()

        def listen() -> None:
            try:
                with http.stream("GET", "/dashboard/live") as answer:
                    assert answer.headers["content-type"].startswith("text/event-stream")
                    for line in answer.iter_lines():
                        lines.append(line)
            except httpx.HTTPError:
                pass
            finally:
                ended.set()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield http, lines
        finally:
            app.state.changes.close()
            thread.join(30)
            assert ended.is_set()


def events(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("data: ")]


def test_change_is_heard_once_and_what_is_the_same_is_not(central: Central, tmp_path: Path) -> None:
    app = create_app(central.settings)
    with serving(central, application=app), listening(central, app) as (_, lines):
        wait_for(lambda: len(events(lines)) >= 1, 60, "the first event")
        time.sleep(0)  # the state as it is
        seen = len(events(lines))
        central.invite(tmp_path / "file")
        wait_for(lambda: len(events(lines)) > seen, 60, "the change")
        assert len(set(events(lines))) == len(events(lines))


def test_stranger_hears_nothing(app: FastAPI, ada: SignedIn) -> None:
    ada.http.cookies.clear()
    answer = ada.http.get("/dashboard/live")
    assert (answer.status_code, answer.text) == (401, "Sign in first.")


def test_more_than_enough_listeners_are_asked_to_come_later(central: Central) -> None:
    app = create_app(central.settings)
    app.state.changes._most = 1
    with serving(central, application=app), listening(central, app) as (http, lines):
        wait_for(lambda: lines, 60, "the stream is open")
        answer = http.get("/dashboard/live")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert app.state.changes.listeners == 1


def test_open_streams_do_not_hold_up_the_end_of_the_service(central: Central) -> None:
    app = create_app(central.settings)
    with serving(central, application=app):
        pass  # everything is imported
    app = create_app(central.settings)
    began = 0.0
    with central.session() as session:
        token = administrators.add(session, "ada", list(Scope), days=1)
    with serving(central, application=app), httpx.Client(base_url=central.url, trust_env=False, timeout=60) as http:
        http.post("/dashboard/sign-in", data={"token": token}, headers={"Origin": central.url})
        stream = http.stream("GET", "/dashboard/live")
        stream.__enter__()
        began = time.monotonic()
    assert time.monotonic() - began < 20  # uvicorn alone would wait for 30 s


def test_open_streams_take_no_connection_of_the_database(central: Central) -> None:
    """As many pages as there are connections listen, and the service still answers what needs one."""
    app = create_app(central.settings)
    with central.session() as session:
        token = administrators.add(session, "ada", list(Scope), days=1)
    with serving(central, application=app), httpx.Client(base_url=central.url, trust_env=False, timeout=60) as http:
        http.post("/dashboard/sign-in", data={"token": token}, headers={"Origin": central.url})
        streams = [http.stream("GET", "/dashboard/live") for _ in range(20)]
        for stream in streams:
            assert stream.__enter__().status_code == 200
        assert http.get("/dashboard").status_code == 200
        assert app.state.changes.listeners == 20
        app.state.changes.close()
        for stream in streams:
            stream.__exit__(None, None, None)


@pytest.mark.both_databases
def test_digest_differs_after_each_change_that_pages_show(central: Central, tmp_path: Path) -> None:
    links = SeenLinks(lambda: None)

    def now() -> str:
        with central.session() as session:
            return state_digest(central.home, session, links)

    seen = [now()]
    assert now() == seen[0]
    central.invite(tmp_path / "file")
    seen.append(now())
    with central.session() as session:
        registry.suspend(session, "hospital-a")
    seen.append(now())
    with central.session() as session:
        registry.resume(session, "hospital-a")
        session.query(registry.Site).update({"state": "active"})
        session.commit()
        started = rounds.start(session, central.home, rounds.RoundPlan(organ="mob", sites=("hospital-a",)))
    seen.append(now())
    with central.session() as session:
        rounds.find(session, started.round_id).sites[0].state = "offered"
        session.commit()
    seen.append(now())
    central.publish("second")
    seen.append(now())
    links.version += 1
    seen.append(now())
    assert len(set(seen)) == len(seen)


def test_page_does_not_wait_for_superlink() -> None:
    release = threading.Event()

    def slow() -> frozenset[str]:
        assert release.wait(60)
        return frozenset({"hospital-a"})

    links = SeenLinks(slow)
    assert links.online is None
    release.set()
    wait_for(lambda: links.version == 1, 60, "the answer")
    assert links.online == {"hospital-a"}


def test_superlink_that_is_away_is_nothing_known() -> None:
    def away() -> frozenset[str]:
        raise OSError

    links = SeenLinks(away)
    assert links.online is None
    wait_for(lambda: not links._looking.locked(), 60, "the look is over")
    assert (links.online, links.version) == (None, 0)
