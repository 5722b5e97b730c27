"""`make docs`: the site is built without a complaint, reads from the disk, and asks nothing of any other machine."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes.typed_commands import commands

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    mkdocs = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        str(ROOT / "website" / "mkdocs.yml"),
        "-d",
        str(folder),
    ]
    done = subprocess.run(mkdocs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser fetches for a page, without anybody's click."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(named.get("src", ""))
        if tag == "link" and named.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(named.get("href", ""))


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        found = Loaded()
        found.feed(page.read_text())
        for address in found.addresses:
            assert not re.match(r"(\w+:)?//", address), f"{page.name} loads {address}"
            if address:
                assert (page.parent / address.split("?")[0].split("#")[0]).exists() or page.name == "404.html", address
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet.name


def test_every_command_and_call_is_in_the_reference(site: Path) -> None:
    pages = {name: (site / "reference" / f"{name}.html").read_text() for name in ("c2lst-client", "c2lst-server", "http")}
    for path, _ in commands():
        assert path in pages[path.split()[0]]
    for call in ("POST /api/v1/sites/enrol", "GET /readyz", "GET /api/v1/releases/{organ}/{number}"):
        assert call in pages["http"]


@pytest.mark.browser
def test_search_works_from_the_disk(site: Path, tmp_path: Path) -> None:
    """In a browser that reaches no other machine."""
    asked = f"{(site / 'index.html').as_uri()}?q=concordance"
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    alone = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom"]
    shown = subprocess.run([*browser, *alone, asked], capture_output=True, text=True, check=True, timeout=300).stdout
    assert re.search(r'href="[^"]*method\.html[^"]*"[^>]*class="md-search-result__link"', shown) or (
        "md-search-result__link" in shown and "method.html" in shown.split("md-search-result__link", 1)[1]
    )
