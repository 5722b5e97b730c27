"""PostgreSQL is stopped, or crashes, and comes back: sites are told to come again meanwhile, and nothing accepted is lost."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pytest
from fakes.central import Central
from fakes.federation import wait_for
from fakes.postgres import SMALL, Postgres, postgres
from fakes.served_process import AskingSite, invited_sites, served_process, working

pytestmark = [pytest.mark.slow, pytest.mark.load]

FAST = {f"C2LST_SERVER_RATE_{name}": "100000/minute" for name in ("PER_ADDRESS", "SIGN_IN", "PER_SITE")}
URL = "http://127.0.0.1:9"  # what sites know the server as; nothing is asked there
AWAY = "The server cannot use its database now; ask again in a few seconds."


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    """A PostgreSQL that keeps what it confirmed, also through a crash."""
    with postgres(SMALL) as server:
        yield server


class Visits:
    """Sites that enrol one after the other and ask for tokens and for how they are known; what came back is kept."""

    def __init__(self, sites: list[AskingSite], http: httpx.Client) -> None:
        self.http, self.left = http, deque(sites)
        self.accepted: dict[str, AskingSite] = {}
        self.tokens: list[tuple[str, str]] = []
        self.answers: Counter[int] = Counter()
        self.refusals: set[tuple[str, str | None, str]] = set()  # content type, Retry-After, detail
        self._turns = count()

    def enrol(self) -> None:
        if not self.left:
            time.sleep(0.1)
            return
        site = self.left.popleft()
        try:
            if self.note(site.enrol(self.http)):
                self.accepted[site.name] = site
        finally:
            if site.name not in self.accepted:
                self.left.append(site)

    def ask(self) -> None:
        known = list(self.accepted.values())
        if not known:
            time.sleep(0.05)
            return
        site = known[next(self._turns) % len(known)]
        answer = site.ask_token(self.http)
        if self.note(answer):
            self.tokens.append((site.name, answer.json()["access_token"]))
            self.note(self.see(self.tokens[-1][1]))

    def see(self, token: str) -> httpx.Response:
        return self.http.get("/api/v1/sites/me", headers={"Authorization": f"Bearer {token}"})

    def note(self, answer: httpx.Response) -> bool:
        self.answers[answer.status_code] += 1
        if answer.status_code != 200:
            detail = str(answer.json().get("detail"))
            self.refusals.add((answer.headers["content-type"], answer.headers.get("retry-after"), detail))
        return answer.status_code == 200


def test_service_that_starts_before_its_database_waits_for_it(template: Central, durable: Postgres, tmp_path: Path) -> None:
    central = template.copy(tmp_path / "central")
    database = durable.new()
    Central(central.home.path, database).engine.dispose()
    durable.stop(signal.SIGINT)
    log = tmp_path / "log"

    def start_when_missed() -> None:
        wait_for(lambda: log.exists() and "Trying again for 60 s." in log.read_text(), 55, "the service misses its database")
        durable.start()

    with ThreadPoolExecutor(1) as beside:
        missed = beside.submit(start_when_missed)
        with served_process(central.home, log, C2LST_SERVER_DATABASE_URL=database) as served:
            missed.result()
            assert served.ready()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_visits_are_told_to_come_again_and_nothing_accepted_is_lost(
    template: Central, durable: Postgres, tmp_path: Path, how: signal.Signals
) -> None:
    central = template.copy(tmp_path / "central")
    database = durable.new()
    central = Central(central.home.path, database)
    sites = invited_sites(central.home, tmp_path, 80, URL, database=database)
    central.engine.dispose()
    with (
        served_process(central.home, tmp_path / "log", C2LST_SERVER_DATABASE_URL=database, **FAST) as served,
        httpx.Client(base_url=served.url, trust_env=False, timeout=60) as http,
    ):
        visits = Visits(sites, http)
        with working([visits.enrol, visits.ask, visits.ask]):
            for _ in range(2):
                before = len(visits.accepted)
                wait_for(lambda before=before: len(visits.accepted) >= before + 3 and visits.tokens, 90, "sites are accepted")
                durable.stop(how)
                refused = visits.answers[503]
                wait_for(lambda refused=refused: visits.answers[503] > refused + 6, 90, "visits are refused")
                wait_for(lambda: not served.ready(), 60, "the service says that it is not ready")
                assert served.get("/healthz").status_code == 200
                assert served.get("/tuf/metadata/timestamp.json").status_code == 200
                assert served.get("/api/v1/releases").status_code == 200
                durable.start()
                wait_for(served.ready, 60, "the service is ready again")
            accepted, tokens = len(visits.accepted), len(visits.tokens)
            wait_for(lambda: len(visits.accepted) > accepted + 3, 90, "sites are accepted again")
            wait_for(lambda: len(visits.tokens) > tokens + 3, 90, "sites get tokens again")
        assert set(visits.answers) == {200, 503}, visits.refusals
        assert visits.refusals == {("application/problem+json", "5", AWAY)}
        for site in [*visits.accepted.values(), *visits.left]:  # one that was not answered is there already, or is taken now
            again = site.enrol(http)
            assert (again.status_code, again.json()["key_fingerprint"]) == (200, site.fingerprint)
        for name, token in visits.tokens:
            answer = visits.see(token)
            assert (answer.status_code, answer.json()["site"]) == (200, name)
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    assert not [line for line in logged if "Traceback" in str(line)]
