"""Pictures of the dashboard for the documentation: `python tests/screenshots/dashboard.py FOLDER` (make screenshots).

A real server with made-up but lively content, and a real browser. Every page wide and light; those that say most also narrow
and dark. `python tests/screenshots/dashboard.py FOLDER all` makes every page in every kind, to look at.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "shared", "server", "client", "demo")]

from fakes.browser import open_browser  # noqa: E402 - the path comes first
from fakes.central import Central, serving  # noqa: E402
from fakes.lively_centre import fill  # noqa: E402
from fakes.pictures import save  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402
from sqlalchemy import select  # noqa: E402

from c2lst_server.app import create_app  # noqa: E402
from c2lst_server.dashboard.links import SeenLinks  # noqa: E402
from c2lst_server.db.models import Round, Training  # noqa: E402

FEATURED = {"sign-in", "overview", "release", "training", "round", "sites"}
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}


def pages(central: Central) -> dict[str, str]:
    """The pages that are shown, by the names of their pictures."""
    with central.session() as session:
        done, running = session.scalars(select(Round.round_id).order_by(Round.started)).all()
        trainings = {row.run_id: row.training_id for row in session.execute(select(Training.run_id, Training.training_id))}
    return {
        "overview": "",
        "releases": "/releases",
        "release": "/releases/mob/2",
        "withdraw": "/releases/mob/2/withdraw?reason=stain+artefacts",
        "trainings": "/trainings",
        "training": f"/trainings/{trainings['breast-long']}",
        "training-failed": f"/trainings/{trainings['lung-small']}",
        "training-form": "/trainings/new",
        "sites": "/sites",
        "site": "/sites/charite-berlin",
        "site-enrol": "/sites/enrol",
        "site-remove": "/sites/charite-berlin/remove",
        "rounds": "/rounds",
        "round": f"/rounds/{done}",
        "round-running": f"/rounds/{running}",
        "round-form": "/rounds/new?release=mob/2",
        "audit": "/audit",
        "nothing": "/nowhere",
    }


def main(out: Path, *, everything: bool) -> None:
    """Write the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        central = Central(Path(folder) / "home")
        token = fill(central).writer
        central.settings = central.settings.model_copy(
            update={"images": central.home.path / "images", "rate_per_address": "100000/minute"}
        )
        app = create_app(central.settings)
        app.state.links = SeenLinks(lambda: frozenset({"charite-berlin", "karolinska", "san-raffaele"}))
        app.state.links.renew()
        with serving(central, application=app):
            for scheme in ("light", "dark"):
                for kind in SIZES:
                    every = everything or (scheme, kind) == ("light", "wide")
                    shown = {name: address for name, address in pages(central).items() if every or name in FEATURED}
                    take(browser, central, token, shown, out, scheme, kind)
        central.engine.dispose()


def take(browser: Browser, central: Central, token: str, shown: dict[str, str], out: Path, scheme: str, kind: str) -> None:
    """Write the pictures of one kind."""
    width, height = SIZES[kind]
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(f"{central.url}/dashboard")
    save(page, out / f"dashboard-sign-in-{kind}-{scheme}.png")
    sign_in(page, token)
    for name, address in shown.items():
        page.goto(f"{central.url}/dashboard{address}")
        save(page, out / f"dashboard-{name}-{kind}-{scheme}.png")
    context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Administrator's token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")


if __name__ == "__main__":
    main(Path(sys.argv[1]), everything="all" in sys.argv[2:])
