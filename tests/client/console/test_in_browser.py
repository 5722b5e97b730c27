"""The console in a real browser: every button with its effect, live pages, hostile names, keyboard, screen readers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import pytest
from axe_playwright_python.sync_playwright import Axe
from fakes.browser import open_browser
from fakes.console_process import ConsoleProcess
from fakes.console_site import FAILED, FINISHED, RUNNING, WAITING, add_record, add_slide, set_slide_of_round
from fakes.round_site import offer
from playwright.sync_api import Browser, BrowserContext, Page, expect

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import Decision, JobQueue
from c2lst_client.rounds.leases import Leases
from c2lst_client.rounds.policy import change_policy, load_policy

pytestmark = [pytest.mark.slow, pytest.mark.browser]

HOSTILE = "\"'><img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
EVIL = "evil"
PATIENCE = 60_000  # milliseconds; the machine may be busy
PAGES = (
    "/",
    "/rounds",
    f"/rounds/{WAITING}",
    f"/rounds/{RUNNING}",
    f"/rounds/{FINISHED}",
    f"/rounds/{FAILED}",
    f"/rounds/{WAITING}/approve",
    f"/rounds/{WAITING}/decline",
    f"/rounds/{RUNNING}/cancel",
    "/policy",
    "/slides",
    "/slides/rep11",
    f"/slides/{EVIL}",
    "/slides/rep11/gallery/held-out",
    f"/slides/{EVIL}/gallery/pairs",
    "/record",
    "/record/line/0",
    "/doctor",
    "/nothing",
)


@pytest.fixture(scope="module")
def console(lively: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    """A console of a state folder with hostile names among the others."""
    folder = tmp_path_factory.mktemp("console")
    home = Home(Path(shutil.copytree(lively, folder / "home")))
    add_slide(home, EVIL, organ="breast", spots=f"/{HOSTILE}", barcode=HOSTILE, gene=HOSTILE, verdict=HOSTILE, step=HOSTILE)
    add_record(home, path=f"/{HOSTILE}", content=HOSTILE)
    set_slide_of_round(home, FINISHED, HOSTILE)
    with ConsoleProcess(home, folder / "log") as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def context(browser: Browser, console: ConsoleProcess) -> Iterator[BrowserContext]:
    """Where somebody is signed in."""
    # no colour is on its way to another when contrast is looked at
    opened = browser.new_context(timezone_id="Asia/Kolkata", reduced_motion="reduce")
    opened.set_default_timeout(PATIENCE)
    page = opened.new_page()
    sign_in(page, console)
    page.close()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, console: ConsoleProcess) -> Iterator[Page]:
    """A page whose every request and complaint is noted; nothing may go elsewhere."""
    opened = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    yield opened
    opened.close()
    assert [url for url in asked if not url.startswith((console.url, "data:", "blob:"))] == []
    assert complaints == []


def sign_in(page: Page, console: ConsoleProcess) -> None:
    page.goto(console.url)
    page.get_by_label("Token").fill(console.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{console.url}/")


def new_round(home: Home, number: int, state: str = "waiting") -> str:
    """Let a round come while the console runs."""
    round_id = f"{number:016x}"
    soon = datetime.now(UTC) + timedelta(days=1)
    JobQueue(home.round_queue).receive(
        offer(round_id, release=number, steps=300, deadline=soon),
        lambda: Decision(state, None, "rep11"),  # type: ignore[arg-type]
    )
    return round_id


def state_of(home: Home, round_id: str) -> str:
    found = JobQueue(home.round_queue).find(round_id)
    assert found is not None
    return found.state


def serious(page: Page, *rules: str) -> list[str]:
    """What axe finds that is serious, by these rules or all, in words."""
    found = Axe().run(page, options={"runOnly": list(rules)} if rules else None).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


def test_sign_in_refuses_other_tokens_and_keeps_the_token_out_of_addresses(browser: Browser, console: ConsoleProcess) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{console.url}/policy")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert serious(page) == []
    page.get_by_label("Token").fill("x" * 43)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not the token of this console")
    page.get_by_label("Token").fill(console.token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.url}/policy")
    assert not [url for url in asked if console.token in url]
    (cookie,) = [each for each in context.cookies() if "session" in each["name"]]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{console.url}/sign-in")
    page.goto(f"{console.url}/rounds")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_hindrance_and_hostile_names_are_text(page: Page, console: ConsoleProcess, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    found: dict[str, list[str]] = {}
    for path in PAGES:
        page.goto(console.url + path)
        if issues := serious(page, *(["color-contrast"] if scheme == "dark" else [])):
            found[path] = issues
        assert "pwned" not in page.title(), path
        assert page.locator("img[src='x'], main script").count() == 0, path
    assert found == {}


def test_narrow_screens_need_no_scrolling_aside(page: Page, console: ConsoleProcess) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in PAGES:
        page.goto(console.url + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_first_paint_is_quick_and_nothing_jumps(page: Page, console: ConsoleProcess) -> None:
    paints, jumps = [], []
    for _ in range(3):
        page.goto(f"{console.url}/")
        paints.append(
            page.evaluate(
                """() => new Promise(done => new PerformanceObserver(seen => {
                const paint = seen.getEntriesByName("first-contentful-paint")[0];
                if (paint) done(paint.startTime);
                }).observe({type: "paint", buffered: true}))"""
            )
        )
        jumps.append(
            page.evaluate(
                """() => new Promise(done => new PerformanceObserver(seen => done(seen.getEntries().reduce((sum, each) =>
                sum + each.value, 0))).observe({type: "layout-shift", buffered: true}) || setTimeout(() => done(0), 500))"""
            )
        )
    assert min(paints) < 1000  # milliseconds
    assert max(jumps) < 0.05


def test_dates_are_in_the_zone_of_the_reader(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/record/line/0")
    time = page.locator("main time").first
    moment = datetime.fromisoformat(time.get_attribute("datetime") or "")
    there = moment + timedelta(hours=5, minutes=30)
    expect(time).to_have_text(f"{there.day} {there:%b} {there.year}, {there:%H:%M}")


def test_round_that_comes_appears_by_itself_and_is_approved(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/rounds")
    round_id = new_round(console.home, 0x11)
    page.locator(f"#see-{round_id}").click()
    expect(page.get_by_role("heading", name="What would run")).to_be_visible()
    page.get_by_role("link", name="Approve …").click()
    page.get_by_label("rep11").check()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    assert state_of(console.home, round_id) == "queued"


def test_round_is_declined(page: Page, console: ConsoleProcess) -> None:
    round_id = new_round(console.home, 0x12)
    page.goto(f"{console.url}/rounds/{round_id}")
    page.get_by_role("link", name="Decline …").click()
    page.get_by_role("link", name="Not now").click()
    assert state_of(console.home, round_id) == "waiting"
    page.get_by_role("link", name="Decline …").click()
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("status").filter(has_text="Declined.")).to_be_visible()
    assert state_of(console.home, round_id) == "declined"


def test_progress_is_followed_and_the_round_is_cancelled(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/rounds/{RUNNING}")
    expect(page.locator("progress")).to_have_attribute("value", "1200")
    leases = Leases(console.home.round_queue)
    leases.progress(RUNNING, "console", stage="adapt", step=2600, steps=5000, eta=60, done=2600)
    expect(page.locator("progress")).to_have_attribute("value", "2600", timeout=PATIENCE)
    page.get_by_role("link", name="Cancel …").click()
    page.get_by_role("button", name="Cancel the round").click()
    expect(page.get_by_role("status").filter(has_text="Asked to stop")).to_be_visible()
    found = JobQueue(console.home.round_queue).find(RUNNING)
    assert found is not None
    assert found.cancel
    leases.cancelled(RUNNING, "console")
    expect(page.locator("#head")).to_contain_text("cancelled", timeout=PATIENCE)


def test_keyboard_alone_approves_a_round(page: Page, console: ConsoleProcess) -> None:
    round_id = new_round(console.home, 0x13)
    page.goto(f"{console.url}/rounds")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, f"see-{round_id}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{round_id}")
    tab_to(page, "approve")
    page.keyboard.press("Enter")
    page.wait_for_url("**/approve")
    tab_to(page, "do-approve")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    assert state_of(console.home, round_id) == "queued"


def tab_to(page: Page, identifier: str) -> None:
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == identifier:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"#{identifier} cannot be reached with the keyboard")


def test_policy_is_changed_and_what_cannot_be_had_is_said(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/policy")
    page.get_by_label("Most steps of training").fill("7000")
    page.get_by_label("Work begins at").fill("20:00")
    page.get_by_role("button", name="Save the policy").click()
    expect(page.get_by_role("alert")).to_contain_text("window")
    expect(page.get_by_label("Most steps of training")).to_have_value("7000")
    page.get_by_label("Work ends at").fill("06:00")
    page.get_by_label("Memory").check()
    page.get_by_role("button", name="Save the policy").click()
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    policy = load_policy(console.home)
    assert (policy.max_steps, policy.window, policy.withhold) == (7000, "20:00-06:00", ("peak_memory",))
    change_policy(console.home, {"max_steps": 20_000, "window": None, "withhold": ()})


def test_gallery_shows_pictures(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/slides/rep11")
    page.locator("#to-pairs").click()
    expect(page.locator(".gallery img")).to_have_count(12 * 5)
    page.wait_for_load_state("load")
    assert page.evaluate("[...document.querySelectorAll('.gallery img')].every(each => each.naturalWidth === 64)")
    page.get_by_role("link", name="Next spots →").click()
    expect(page.locator(".gallery img")).to_have_count(5)


def test_gallery_neither_waits_for_a_worker_that_writes_nor_stands_in_its_way(page: Page, console: ConsoleProcess) -> None:
    patches = console.home.site("rep11") / "synthetic" / "patches.h5"
    with h5py.File(patches, "r+") as writer:  # holds the lock that another writer, or a reader with locks, would want
        page.goto(f"{console.url}/slides/rep11/gallery/pairs")
        page.wait_for_load_state("load")
        assert page.evaluate("[...document.querySelectorAll('.gallery img')].every(each => each.naturalWidth === 64)")
        assert int(writer["done"][0]) == 1
    page.goto(f"{console.url}/slides/rep11/gallery/pairs")
    h5py.File(patches, "r+").close()


def test_report_is_shown_in_a_page_of_its_own_that_may_do_nothing(
    page: Page, context: BrowserContext, console: ConsoleProcess
) -> None:
    page.goto(f"{console.url}/slides/rep11")
    with context.expect_page() as opened:
        page.locator("#to-report").click()
    report = opened.value
    expect(report.get_by_role("heading", name="Report of the slide")).to_be_visible()
    assert report.title() == "Report"  # the script in it did not run
    assert report.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(74, 63, 143)"
    assert report.evaluate("window.origin") == "null"
    report.close()


def test_record_is_filtered_opened_and_downloaded(page: Page, console: ConsoleProcess, tmp_path: Path) -> None:
    page.goto(f"{console.url}/record")
    page.get_by_label("What", exact=True).select_option("RoundResult")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#lines tbody tr")).to_have_count(2)
    page.locator("#lines tbody a").first.click()
    raw = page.locator("#raw").text_content()
    assert raw is not None
    assert raw.encode() in console.home.audit_log.read_bytes().splitlines()
    assert json.loads(page.locator("#content-pretty").text_content() or "")["kind"] == "result"
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="What left").click()
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "record.jsonl")
    assert (tmp_path / "record.jsonl").read_bytes() == console.home.audit_log.read_bytes()


def test_doctor_runs_on_a_button_and_its_findings_appear(page: Page, console: ConsoleProcess) -> None:
    before = console.home.audit_log.read_bytes()
    page.goto(f"{console.url}/doctor")
    expect(page.locator("#run")).to_contain_text("asks the centre")
    page.get_by_role("button", name="Examine this machine alone").click()
    expect(page.locator("#findings tbody tr").filter(has_text="hardware")).to_be_visible(timeout=5 * PATIENCE)
    expect(page.locator("#findings tbody tr").filter(has_text="audit log")).to_contain_text("the chain is whole")
    assert serious(page) == []
    assert console.home.audit_log.read_bytes() == before  # nothing was asked of anybody


def test_pages_go_on_by_themselves_after_a_restart(page: Page, console: ConsoleProcess) -> None:
    page.goto(f"{console.url}/rounds")
    expect(page.get_by_role("heading", name="Rounds")).to_be_visible()
    assert console.stop() == 0
    expect(page.locator("#live-state")).to_contain_text("No connection", timeout=PATIENCE)
    console.start()
    expect(page.locator("#live-state")).to_be_empty(timeout=PATIENCE)
    round_id = new_round(console.home, 0x14)
    expect(page.locator(f"#see-{round_id}")).to_be_visible(timeout=PATIENCE)


def test_session_that_has_ended_is_said_and_the_next_step_is_to_sign_in(browser: Browser, console: ConsoleProcess) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page, other = context.new_page(), context.new_page()
    sign_in(page, console)
    page.goto(f"{console.url}/rounds")
    other.goto(f"{console.url}/policy")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/sign-in")
    new_round(console.home, 0x15)  # lets the page ask again
    expect(page.locator("#live-state")).to_contain_text("session has ended", timeout=PATIENCE)
    page.get_by_role("link", name="Slides").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


def test_idle_session_ends_over_a_restart_too(browser: Browser, console: ConsoleProcess) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    sign_in(page, console)
    console.stop()
    path = console.home.console_sessions
    long_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    path.write_text(re.sub(r'"idle_until":"[^"]+"', f'"idle_until":"{long_ago}"', path.read_text()))
    console.start()
    page.goto(f"{console.url}/rounds")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


def test_second_console_of_a_state_folder_is_refused_with_a_sentence(console: ConsoleProcess, tmp_path: Path) -> None:
    second = ConsoleProcess(console.home, tmp_path / "log")
    with pytest.raises(AssertionError, match="runs already; use that one"):
        second.start()
    assert second.process is not None
    assert second.process.returncode == 5
