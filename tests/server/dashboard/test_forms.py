"""Nothing changes but by a form of the session's own pages, sent by somebody who may."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from fakes.central import Central
from fakes.signed_in import SignedIn
from fastapi import FastAPI
from sqlalchemy import select

from c2lst_server.administrators import GROUPS
from c2lst_server.db.models import ACTIVE, Base, Round, RoundSite, Site, Training
from c2lst_shared.wire import EnrolmentFile, RoundOffer

FORMS = {
    "/sign-out": {},
    "/trainings/new": {"organ": "mob", "images": "slides", "preset": "tiny"},
    "/trainings/0123456789abcdef/stop": {},
    "/trainings/fedcba9876543210/resume": {},
    "/sites/enrol": {"name": "hospital-b", "url": "https://central.example.org"},
    "/sites/hospital-a/suspend": {},
    "/sites/hospital-c/resume": {},
    "/sites/hospital-a/remove": {},
    "/rounds/new": {"release": "mob/1", "sites": "hospital-d", "fraction": "0.25", "split": "random", "seed": "0", "hours": "1",
                    "deadline_hours": "2"},
    "/rounds/0123456789abcdef/cancel": {},
}  # fmt: skip


@pytest.fixture
def app(app: FastAPI, central: Central) -> FastAPI:
    """With something that each form can be about."""
    (central.home.path / "images" / "slides").mkdir(parents=True)
    app.state.settings = central.settings.model_copy(update={"images": central.home.path / "images"})
    now = datetime.now(UTC)
    offer = RoundOffer(
        round_id="0123456789abcdef", organ="mob", release=1, steps=10, hours=1, deadline=now + timedelta(hours=2)
    )
    with central.session() as session:
        session.add(Site(name="hospital-c", state="suspended", added=now))
        session.add(Site(name="hospital-d", state=ACTIVE, added=now, enrolled=now))
        session.add(
            Round(
                round_id=offer.round_id,
                offer=offer.model_dump_json(),
                started=now,
                deadline=offer.deadline,
                sites=[RoundSite(site="hospital-d", state="offered")],
            )
        )
        for training_id, run, state in (("0123456789abcdef", "one", "queued"), ("fedcba9876543210", "two", "failed")):
            plan = json.dumps({"organ": "mob", "images": "slides", "preset": "tiny", "run": run, "steps": 10})
            session.add(
                Training(
                    training_id=training_id,
                    run_id=run,
                    plan=plan,
                    state=state,
                    queued=now,
                    not_before=now,
                    cancel=False,
                    crashes=0,
                    furthest=0,
                )
            )
        session.commit()
    return app


def rows(central: Central) -> str:
    """Everything in the database, but for the sessions that looking leaves behind."""
    with central.session() as session:
        tables = [table for table in Base.metadata.sorted_tables if table.name != "administrator_sessions"]
        return repr([session.execute(select(table)).all() for table in tables])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_carried_out_for_who_may(central: Central, ada: SignedIn, form: str) -> None:
    before = rows(central)
    answer = ada.send(form, **FORMS[form])
    assert answer.status_code == (200 if form == "/sites/enrol" else 303), answer.text
    assert rows(central) != before


@pytest.mark.parametrize("forgery", ["no token", "another session's token", "another page"])
def test_forged_form_changes_nothing(central: Central, ada: SignedIn, sign_in, forgery: str) -> None:
    ways = {
        "no token": {"csrf": ""},
        "another session's token": {"csrf": sign_in("eve").csrf},
        "another page": {"csrf": ada.csrf, "origin": "https://evil.example.org"},
    }
    before = rows(central)
    for form, fields in FORMS.items():
        answer = ada.send(form, **ways[forgery], **fields)
        assert (answer.status_code, "did not come from a page of this session" in answer.text) == (403, True), form
    assert rows(central) == before


def test_who_may_only_look_changes_nothing(central: Central, sign_in) -> None:
    grace = sign_in("grace", tuple(GROUPS["read"]))
    before, csrf = rows(central), grace.csrf
    for form, fields in FORMS.items():
        if form != "/sign-out":
            answer = grace.send(form, csrf=csrf, **fields)
            assert (answer.status_code, "The token of grace does not allow" in answer.text) == (403, True), form
    assert rows(central) == before


def test_stranger_changes_nothing(central: Central, ada: SignedIn) -> None:
    before, csrf = rows(central), ada.csrf
    ada.http.cookies.clear()
    for form, fields in FORMS.items():
        answer = ada.send(form, csrf=csrf, **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in"), form
    assert rows(central) == before


def test_buttons_are_shown_to_who_may_use_them(sign_in) -> None:
    grace, ada = sign_in("grace", tuple(GROUPS["read"])), sign_in("ada")
    for page, button in (
        ("/sites", "Enrol a site"),
        ("/sites/hospital-a", "Suspend"),
        ("/trainings", "Start a training"),
        ("/trainings/0123456789abcdef", ">Stop<"),
        ("/rounds", "Start a round"),
        ("/rounds/0123456789abcdef", "Cancel …"),
    ):
        assert button in ada.page(page), page
        assert button not in grace.page(page), page


def test_enrolment_file_is_a_download_that_enrols(central: Central, ada: SignedIn) -> None:
    answer = ada.send("/sites/enrol", **FORMS["/sites/enrol"])
    assert answer.headers["content-disposition"] == 'attachment; filename="hospital-b.json"'
    assert answer.headers["cache-control"] == "no-store"
    file = EnrolmentFile.model_validate_json(answer.content)
    assert (file.site, file.server) == ("hospital-b", "https://central.example.org")
    assert file.token.get_secret_value().encode() not in central.stored()


MISTAKES = [
    ("/sites/enrol", {"name": "Hospital B"}, "&#39;Hospital B&#39; cannot name a site"),
    ("/sites/enrol", {"name": "hospital-d"}, "Site &#39;hospital-d&#39; is active"),
    ("/sites/enrol", {"url": "http://central.example.org"}, "The URL cannot be used"),
    ("/sites/enrol", {"ca": "nothing"}, "holds no certificate"),
    ("/trainings/new", {"organ": ""}, "The organ is needed."),
    ("/trainings/new", {"organ": "Brain"}, "The organ cannot be used"),
    ("/trainings/new", {"images": "elsewhere"}, "There is no folder of images &#39;elsewhere&#39;"),
    ("/trainings/new", {"steps": "many"}, "The number of steps cannot be used"),
    ("/rounds/new", {"sites": []}, "A round needs at least one site"),
    ("/rounds/new", {"sites": ["hospital-c"]}, "Site &#39;hospital-c&#39; is suspended"),
    ("/rounds/new", {"fraction": "2"}, "A round cannot have fraction"),
    ("/rounds/new", {"hours": "soon"}, "The hours of compute cannot be used"),
]


def test_what_cannot_be_used_is_said_above_the_form_with_what_was_typed(central: Central, ada: SignedIn) -> None:
    before, csrf = rows(central), ada.csrf
    for form, fields, sentence in MISTAKES:
        answer = ada.send(form, csrf=csrf, **(FORMS[form] | fields))
        assert (answer.status_code, sentence in answer.text) == (422, True), (fields, answer.text)
        assert 'role="alert"' in answer.text
        for value in fields.values():
            if isinstance(value, str) and value and "images" not in fields:
                assert f'"{value}"' in answer.text or f">{value}<" in answer.text
    assert rows(central) == before


class Markup(HTMLParser):
    """Collects what a strict policy would not let run, and the addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if (tag == "script" and "src" not in named) or tag == "style":
            self.inline.append(tag)
        self.inline += [name for name in named if name == "style" or name.startswith("on")]
        for name in ("src", "href"):
            if named.get(name):
                self.addresses.add(str(named[name]))


PAGES = ["", "/releases", "/releases/mob/1", "/releases/mob/1/withdraw", "/trainings", "/trainings/new",
         "/trainings/0123456789abcdef", "/trainings/fedcba9876543210", "/sites", "/sites/enrol", "/sites/hospital-a",
         "/sites/hospital-a/remove", "/rounds", "/rounds/new", "/rounds/0123456789abcdef", "/rounds/0123456789abcdef/cancel",
         "/audit"]  # fmt: skip


def test_pages_load_what_is_their_own_and_lead_somewhere(ada: SignedIn) -> None:
    known: set[str] = set()
    for page in PAGES:
        check_page(ada, page, known)


def check_page(ada: SignedIn, page: str, known: set[str]) -> None:
    answer = ada.http.get(f"/dashboard{page}")
    assert answer.status_code == 200
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    found = Markup()
    found.feed(answer.text)
    assert found.inline == []
    assert found.addresses
    for address in found.addresses:
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in answer.text
            continue
        assert address.startswith(("/dashboard", "/tuf/", "?")), address
        where = (address if address.startswith("/") else f"/dashboard{page}{address}").partition("#")[0]
        if where not in known:
            assert ada.http.get(where).status_code == 200, (page, address)
        known.add(where)


NOT_THERE = [
    ("/nowhere", 404, "Nothing is at this address"),
    ("/sites/hospital-z", 404, "There is no site &#39;hospital-z&#39;"),
    ("/sites/%00", 404, "There is no such address"),
    ("/rounds/zzz", 404, "names no round"),
    ("/trainings/zzz", 404, "names no training"),
    ("/releases/mob/9", 404, "There is no release mob/9"),
    ("/releases/mob/zero", 422, "number:"),
    ("/audit?before=x", 422, "before:"),
    ("/trainings/0123456789abcdef/samples/..%2f..%2fkeys%2fsnapshot.pem", 404, "Nothing is at this address"),
    ("/trainings/0123456789abcdef/samples/snapshot.pem", 404, "no such picture"),
]


def test_what_is_not_there_is_a_page_that_says_so(ada: SignedIn) -> None:
    for page, status, sentence in NOT_THERE:
        answer = ada.http.get(f"/dashboard{page}")
        assert (answer.status_code, sentence in answer.text) == (status, True), (page, answer.text)
        assert answer.headers["content-type"].startswith("text/html")
        assert "Back to the overview" in answer.text


def test_style_and_script_are_kept_for_a_year_under_their_digest(ada: SignedIn) -> None:
    found = Markup()
    found.feed(ada.page(""))
    assets = sorted(address for address in found.addresses if "/assets/" in address)
    assert sorted(address.rpartition("/")[2] for address in assets) == ["icon.svg", "page.js", "style.css"]
    for address in assets:
        assert "immutable" in ada.http.get(address).headers["cache-control"]
        wrong = address.replace(address.split("/")[3], "0" * 16)
        assert ada.http.get(wrong).status_code == 404


def test_hostile_names_are_shown_as_text(central: Central, ada: SignedIn) -> None:
    """What a site, an operator or a record could carry, wherever it is shown."""
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    with central.session() as session:
        for row in session.scalars(select(RoundSite)):
            row.error, row.reason = hostile[:16], hostile[:16]
        for training in session.scalars(select(Training)):
            training.error = None
        for site in session.scalars(select(Site)):
            site.software = hostile[:40]
        session.commit()
    for page in PAGES:
        answer = ada.http.get(f"/dashboard{page}").text
        assert "<script>alert" not in answer
        assert "<img src=x" not in answer
    reflected = ada.http.get("/dashboard/releases/mob/1/withdraw", params={"reason": hostile}).text
    assert "<script>alert" not in reflected
    assert "&lt;script&gt;" in reflected
