"""Pictures of the dashboard for the documentation: `python tests/screenshots/dashboard.py FOLDER` (make screenshots).

A real server with made-up but lively content, and a real browser; each page wide and narrow, light and dark.
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
from playwright.sync_api import Browser, Page  # noqa: E402
from sqlalchemy import select  # noqa: E402

from c2lst_server.db.models import Round, Training  # noqa: E402

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


def main(out: Path, wanted: list[str]) -> None:
    """Write the pictures: all of them, or those of the pages and kinds that are named (`overview wide light`)."""
    schemes, kinds = (
        [each for each in possible if each in wanted] or possible for possible in (["light", "dark"], list(SIZES))
    )
    wanted = [each for each in wanted if each not in {"light", "dark", *SIZES}]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        central = Central(Path(folder) / "home")
        token = fill(central).writer
        central.settings = central.settings.model_copy(
            update={"images": central.home.path / "images", "rate_per_address": "100000/minute"}
        )
        with serving(central):
            shown = {name: address for name, address in pages(central).items() if not wanted or name in wanted}
            for scheme in schemes:
                for kind in kinds:
                    take(browser, central, token, shown, out, scheme, kind, SIZES[kind])
        central.engine.dispose()


def take(
    browser: Browser,
    central: Central,
    token: str,
    shown: dict[str, str],
    out: Path,
    scheme: str,
    kind: str,
    size: tuple[int, int],
) -> None:
    """Write the pictures of one kind."""
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=1 if kind == "wide" else 2,
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(f"{central.url}/dashboard")
    page.screenshot(path=out / f"dashboard-sign-in-{kind}-{scheme}.png")
    sign_in(page, token)
    for name, address in shown.items():
        page.goto(f"{central.url}/dashboard{address}")
        page.wait_for_function("document.readyState === 'complete'")
        page.screenshot(path=out / f"dashboard-{name}-{kind}-{scheme}.png", full_page=True)
    context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Administrator's token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
