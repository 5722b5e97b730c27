"""The dashboard of a lively centre, served by a process of its own and looked at with a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import select

from c2lst_server.db.models import Round, Training
from fakes.browser import open_browser
from fakes.central import Central
from fakes.lively_centre import Tokens, fill
from fakes.served_process import ServedProcess, served_process

SETTINGS = {"C2LST_SERVER_RATE_PER_ADDRESS": "100000/minute", "C2LST_SERVER_RATE_SIGN_IN": "1000/minute"}
PATIENCE = 60_000  # milliseconds, on a loaded machine


@dataclass
class Dashboard:
    """One centre and one browser."""

    central: Central
    served: ServedProcess
    browser: Browser
    tokens: Tokens
    complaints: list[str] = field(default_factory=list)  # of the browser: errors of scripts, breaches of the policy

    def context(self, **options: Any) -> BrowserContext:
        """A browser of its own: no cookie is shared."""
        context = self.browser.new_context(base_url=self.served.url, timezone_id="Europe/Berlin", **options)
        context.set_default_timeout(PATIENCE)
        context.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context

    def sign_in(self, token: str, **options: Any) -> Page:
        """A page of somebody who is signed in."""
        page = self.context(**options).new_page()
        page.goto("/dashboard")
        page.get_by_label("Administrator's token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/dashboard")
        return page

    def pages(self) -> list[str]:
        """The address of every page."""
        with self.central.session() as session:
            rounds = session.scalars(select(Round.round_id).order_by(Round.started).limit(2)).all()
            trainings = session.scalars(select(Training.training_id).order_by(Training.id).limit(3)).all()
        return [
            "",
            "/releases",
            "/releases/mob/2",
            "/releases/kidney/1",
            "/releases/mob/2/withdraw",
            "/trainings",
            "/trainings/new",
            *(f"/trainings/{training}" for training in trainings),
            "/sites",
            "/sites/enrol",
            "/sites/charite-berlin",
            "/sites/charite-berlin/remove",
            "/rounds",
            "/rounds/new",
            *(f"/rounds/{round_id}" for round_id in rounds),
            f"/rounds/{rounds[1]}/cancel",
            "/audit",
            "/nowhere",
        ]


@contextmanager
def dashboard_in_browser(folder: Path) -> Iterator[Dashboard]:
    """Fill a centre, serve it, and open a browser."""
    central = Central(folder / "home")
    tokens = fill(central)
    settings = SETTINGS | {"C2LST_SERVER_IMAGES": str(central.home.path / "images")}
    with served_process(central.home, folder / "log", **settings) as served, open_browser() as browser:
        yield Dashboard(central, served, browser, tokens)
    central.engine.dispose()
