"""Each page of the console: when there is nothing yet, when there is all, and when every name in it is hostile."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.console_site import (
    FAILED,
    FINISHED,
    RUNNING,
    WAITING,
    add_record,
    add_rounds,
    add_slide,
    enrol,
    set_slide_of_round,
)
from fakes.privacy_results import privacy_result
from fakes.signed_in_at_console import AtConsole, sign_in
from fakes.toy_release import toy_release
from PIL import Image

from c2lst_client.console.checkup import Results
from c2lst_client.console.site_console import code_spans
from c2lst_client.doctor import Finding
from c2lst_client.home import Home
from c2lst_client.rounds.policy import change_policy
from c2lst_client.status import read_status

PAGES = ("/", "/rounds", "/policy", "/slides", "/record", "/doctor")
ROUNDS = tuple(f"/rounds/{each}" for each in (WAITING, RUNNING, FINISHED, FAILED))
ASKING = tuple(f"/rounds/{WAITING}/{what}" for what in ("approve", "decline", "cancel"))
SLIDES = ("/slides/rep11", "/slides/rep11/gallery/held-out", "/slides/rep11/gallery/pairs")
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}"


@pytest.mark.parametrize("path", PAGES)
def test_page_of_an_empty_state_folder_says_what_to_do(empty: Home, path: str) -> None:
    at = sign_in(empty)
    text = at.page(path)
    assert re.search(r"<h1>.+</h1>", text)
    assert not empty.rounds.exists()  # nothing is made by looking
    if path in {"/", "/rounds", "/slides"}:
        assert "c2lst-client" in text


@pytest.mark.parametrize("path", [*PAGES, *ROUNDS, *ASKING, *SLIDES])
def test_page_has_the_strict_headers_and_nothing_from_elsewhere(at: AtConsole, path: str) -> None:
    answer = at.http.get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"""(src|href|action)=["'](https?:)?//""", answer.text)
    assert not re.search(r"<(script|style)[ >](?!.*src=)|\son\w+=|style=", answer.text)


@pytest.mark.parametrize("path", ["/rounds/0000000000000000", "/rounds/x", "/slides/none", "/slides/..%2f..%2fetc", "/nothing"])
def test_what_is_not_there_is_a_page_that_says_so(at: AtConsole, path: str) -> None:
    assert "There is no such page" in at.page(path, 404)


def test_commands_in_sentences_are_code_and_all_else_is_text() -> None:
    assert code_spans("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"
    assert code_spans("one ` alone <b>") == "one ` alone &lt;b&gt;"


def test_overview_says_what_needs_attention(at: AtConsole) -> None:
    text = at.page("/")
    assert "One round waits for your decision" in text
    assert f"Round {FAILED} failed" in text
    assert "No part is taken in rounds" in text
    assert "hospital-a" in text


def test_overview_names_a_damaged_file_and_shows_the_rest(at: AtConsole) -> None:
    (at.home.site("rep11") / "site.json").write_text("{")
    assert "is damaged" in at.page("/")
    assert "is damaged" in at.page("/slides")


def test_round_shows_what_would_run_and_what_would_leave(at: AtConsole) -> None:
    change_policy(at.home, {"withhold": ("seconds", "mae")})
    text = at.page(f"/rounds/{WAITING}")
    assert "Train an adapter for" in text
    assert "c2lst-client adapt --site rep11 --release mob/3 --fraction 0.5" in text
    rows = dict(re.findall(r'<span class="soft code">([\w.]+)</span>.*?<td class="tight">\s*(.*?)</td>', text, re.DOTALL))
    assert rows["conditioning_r"].strip() == "yes"
    assert "kept back" in rows["seconds"]
    assert "kept back" in rows["arms.mae"]


def test_round_shows_what_its_release_says_of_itself(at: AtConsole) -> None:
    assert "The release is not here yet" in at.page(f"/rounds/{WAITING}")
    folder = at.home.release("mob", 3)
    folder.mkdir(parents=True)
    manifest = toy_release(number=3).manifest.model_copy(update={"summary": HOSTILE})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    text = at.page(f"/rounds/{WAITING}")
    assert "It says of itself: “&#34;" in text
    assert HOSTILE not in text
    (folder / "manifest.json").write_text("{")
    assert "The release is not here yet" in at.page(f"/rounds/{WAITING}")


def test_queue_that_cannot_be_read_is_a_page_that_says_so(at: AtConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(at.home.round_queue, isolation_level=None)) as other, monkeypatch.context() as hurry:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        hurry.setattr(sqlite3, "connect", quickly)
        assert "cannot be read now" in at.page("/rounds", 503)
    assert at.page("/rounds")


def quickly(*arguments: Any, **options: Any) -> sqlite3.Connection:
    """Connect as the queue does, but wait for a moment only."""
    return sqlite3.Connection(*arguments, **(options | {"timeout": 0.1}))


def test_finished_round_shows_its_numbers_as_they_are_sent(at: AtConsole) -> None:
    change_policy(at.home, {"withhold": ("genes",)})
    text = at.page(f"/rounds/{FINISHED}")
    assert "0.71 [0.61, 0.79]" in text
    assert "kept back by the policy" in text
    assert ">250<" not in text


def test_words_of_an_error_are_shown_and_said_to_stay(at: AtConsole) -> None:
    text = at.page(f"/rounds/{FAILED}")
    assert "/data/rep11 cannot be read" in text
    assert "These words stay here" in text


def test_gallery_shows_patches_of_the_pair_files(at: AtConsole, tmp_path: Path) -> None:
    before = {path for path in at.home.path.rglob("*") if path.is_file()}
    text = at.page("/slides/rep11/gallery/pairs")
    pictures = re.findall(r'src="(/slides/[^"]+)"', text)
    assert len(pictures) == 12 * 5
    answer = at.http.get(pictures[0])
    assert answer.headers["content-type"] == "image/png"
    (tmp_path / "patch.png").write_bytes(answer.content)
    with Image.open(tmp_path / "patch.png") as image:
        assert image.size == (64, 64)
    assert at.http.get("/slides/rep11/patches/spots/49.png").status_code == 404
    assert at.http.get("/slides/rep11/patches/privacy/0.png").status_code == 404
    assert {path for path in at.home.path.rglob("*") if path.is_file()} == before


def test_reports_are_as_they_were_written_and_may_do_nothing(at: AtConsole) -> None:
    for what, path in (
        ("report", at.home.site("rep11") / "report.html"),
        ("study", at.home.site("rep11") / "study/study.html"),
    ):
        answer = at.http.get(f"/slides/rep11/{what}")
        assert answer.content == path.read_bytes()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script-src" not in policy


def test_link_out_of_the_state_folder_is_not_followed(at: AtConsole, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("<p>secret</p>")
    report = at.home.site("rep11") / "report.html"
    report.unlink()
    report.symlink_to(tmp_path / "secret.html")
    assert at.http.get("/slides/rep11/report").status_code == 404


def test_export_is_said_to_be_blocked_or_not(at: AtConsole) -> None:
    folder = at.home.site("rep11") / "privacy"
    folder.mkdir()
    (folder / "result.json").write_text(privacy_result().model_dump_json())
    assert ">allowed<" in at.page("/slides/rep11")
    (folder / "result.json").write_text("{")
    assert "result.json cannot be read" in at.page("/slides/rep11")


def hostile(home: Home) -> AtConsole:
    """A state folder in which everything that others can name is an attack."""
    enrol(home, server=f"https://{HOSTILE}")
    add_slide(
        home, spots=f"/{HOSTILE}", barcode=HOSTILE, gene=HOSTILE, verdict=HOSTILE, step=HOSTILE, report=f"<h1>{HOSTILE}</h1>"
    )
    add_rounds(home, detail=HOSTILE)
    set_slide_of_round(home, WAITING, HOSTILE)
    set_slide_of_round(home, RUNNING, HOSTILE)
    add_record(home, path=f"/{HOSTILE}", content=HOSTILE)
    at = sign_in(home)
    findings = [Finding(subject=HOSTILE, state="fault", found=HOSTILE, to_do=f"`{HOSTILE}`")]
    at.http.app.state.console.checkup.last = Results(datetime.now(UTC), False, findings)  # type: ignore[attr-defined]
    return at


def test_hostile_names_are_text_on_every_page(empty: Home) -> None:
    at = hostile(empty)
    (line,) = re.findall(r'href="(/record/line/\d+)"', at.page(f"/record?destination={HOSTILE[:4]}"))
    assert read_status(empty).server == f"https://{HOSTILE}"
    shown = 0
    for path in (*PAGES, *ROUNDS, *ASKING, *SLIDES, line):
        text = at.page(path)
        assert HOSTILE not in text, path
        assert "<img src=x" not in text, path
        assert "<script>alert" not in text, path
        shown += "&lt;img src=x" in text or "&lt;script&gt;" in text
    assert shown >= 12


def test_console_needs_neither_torch_nor_anndata() -> None:
    """They take seconds and hundreds of megabytes, and the worker needs both."""
    code = (
        "import sys; from c2lst_client.console import app; app.page_templates(); "
        "print({'torch', 'anndata', 'pandas', 'transformers', 'flwr'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "set()"
