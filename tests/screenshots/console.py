"""Pictures of the site's console for the documentation: `python tests/screenshots/console.py FOLDER` (make screenshots).

A real console on a state folder with made-up but lively content, and a real browser. Every page wide and light; those that say
most also narrow and dark. `python tests/screenshots/console.py FOLDER all` makes every page in every kind, to look at.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "shared", "server", "client", "demo")]

from fakes.browser import open_browser  # noqa: E402 - the path comes first
from fakes.console_process import ConsoleProcess  # noqa: E402
from fakes.console_site import FAILED, FINISHED, RUNNING, WAITING, lively_home  # noqa: E402
from fakes.pictures import save  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402

FEATURED = {"sign-in", "overview", "round", "gallery", "record"}
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
PAGES = {
    "overview": "/",
    "rounds": "/rounds",
    "round": f"/rounds/{WAITING}",
    "round-running": f"/rounds/{RUNNING}",
    "round-finished": f"/rounds/{FINISHED}",
    "round-failed": f"/rounds/{FAILED}",
    "approve": f"/rounds/{WAITING}/approve",
    "policy": "/policy",
    "slides": "/slides",
    "slide": "/slides/rep11",
    "gallery": "/slides/rep11/gallery/held-out",
    "gallery-pairs": "/slides/rep11/gallery/pairs",
    "record": "/record",
    "record-line": "/record/line/0",
    "doctor": "/doctor",
    "nothing": "/nowhere",
}


def main(out: Path, *, everything: bool) -> None:
    """Write the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        home = lively_home(Path(folder) / "home")
        with ConsoleProcess(home, Path(folder) / "log") as console:
            for scheme in ("light", "dark"):
                for kind in SIZES:
                    every = everything or (scheme, kind) == ("light", "wide")
                    shown = {name: address for name, address in PAGES.items() if every or name in FEATURED}
                    take(browser, console, shown, out, scheme, kind)


def take(browser: Browser, console: ConsoleProcess, shown: dict[str, str], out: Path, scheme: str, kind: str) -> None:
    """Write the pictures of one kind."""
    width, height = SIZES[kind]
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(console.url)
    save(page, out / f"console-sign-in-{kind}-{scheme}.png")
    page.get_by_label("Token").fill(console.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{console.url}/")
    for name, address in shown.items():
        page.goto(console.url + address, wait_until="load")
        save(page, out / f"console-{name}-{kind}-{scheme}.png")
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), everything=sys.argv[2:] == ["all"])
