"""What all pages are made of: style, forms, sessions, dates, charts."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from c2lst_shared.web import words
from c2lst_shared.web.assets import Assets, read_text
from c2lst_shared.web.charts import Estimate, Scale, common_range, interval_bar, line_chart
from c2lst_shared.web.cookies import is_encrypted
from c2lst_shared.web.forms import Forged, check_form, check_origin, csrf_token, leave_flash, take_flash
from c2lst_shared.web.pages import Frame, page_environment, render, render_error

ASSETS = Assets("/assets")


def request(**headers: str) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": headers.pop("scheme", "http"),
        "path": "/",
        "query_string": b"",
        "server": ("127.0.0.1", 80),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    return Request(scope)


def test_form_needs_the_token_of_its_session_and_this_origin() -> None:
    own = request(host="c.example", origin="https://c.example")
    check_form(own, "secret", csrf_token("secret"))
    for identifier, token in (("secret", ""), ("secret", csrf_token("other")), ("other", csrf_token("secret"))):
        with pytest.raises(Forged):
            check_form(own, identifier, token)
    assert "secret" not in csrf_token("secret")


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"host": "c.example", "origin": "https://c.example"}, True),
        ({"host": "c.example:8443", "origin": "https://c.example:8443"}, True),
        ({"host": "c.example", "sec_fetch_site": "same-origin"}, True),
        ({"host": "c.example:8443", "origin": "https://c.example"}, False),
        ({"host": "c.example", "origin": "https://evil.example"}, False),
        ({"host": "c.example", "origin": "null", "sec_fetch_site": "same-origin"}, False),
        ({"host": "c.example", "sec_fetch_site": "same-site"}, False),
        ({"host": "c.example"}, False),
    ],
)
def test_origin_is_compared_with_the_host_that_was_asked(headers: dict[str, str], own: bool) -> None:
    if own:
        check_origin(request(**headers))
    else:
        with pytest.raises(Forged):
            check_origin(request(**headers))


@pytest.mark.parametrize(
    ("headers", "encrypted"),
    [
        ({"host": "127.0.0.1:8000"}, False),
        ({"host": "localhost:8000"}, False),
        ({"host": "[::1]:8000"}, False),
        ({"host": "central.example.org"}, True),
        ({"host": "localhost", "scheme": "https"}, True),
    ],
)
def test_cookies_are_kept_to_https_but_at_this_machine(headers: dict[str, str], encrypted: bool) -> None:
    assert is_encrypted(request(**headers)) is encrypted


def test_message_survives_one_redirect_whatever_is_in_it() -> None:
    answer = PlainTextResponse("")
    sentence = 'Site "a"; <b>ü</b>\n is back'
    leave_flash(request(host="localhost"), answer, "good", sentence)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    found = take_flash(request(host="localhost", cookie=cookie))
    assert found is not None
    assert (found.tone, found.sentence) == ("good", sentence)


@pytest.mark.parametrize(
    "cookie", ["c2lst-flash-80=", "c2lst-flash-80=%5B1%5D", 'c2lst-flash-80=["evil", "x"]', "c2lst-flash-80=%"]
)
def test_message_that_nobody_left_is_none(cookie: str) -> None:
    assert take_flash(request(host="localhost", cookie=cookie)) is None


def test_assets_change_their_address_with_their_content() -> None:
    http = TestClient(Starlette(routes=[ASSETS.route()]))
    for name, kind in (("style.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        answer = http.get(ASSETS.url(name))
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
    assert http.get(ASSETS.url("style.css").replace("style.css", "page.js")).status_code == 404
    assert http.get("/assets/x/../../pages.py").status_code == 404
    assert len(read_text("page.js").splitlines()) < 100


def test_pages_escape_and_complain_of_what_is_missing() -> None:
    import jinja2

    templates = page_environment("c2lst_shared.web", ASSETS)
    frame = Frame("c2lst", "/", who='<b>"ada"')
    page = render_error(templates, frame, 404, "<i>", "<script>alert(1)</script>").body.decode()
    assert "<script>alert" not in page
    assert "&lt;b&gt;&#34;ada&#34;" in page
    with pytest.raises(jinja2.UndefinedError):
        render(templates, "sign_in.html.j2", frame)


def test_moment_is_utc_in_words_and_for_machines() -> None:
    when = datetime(2026, 3, 29, 1, 30, 15, tzinfo=timezone(timedelta(hours=2)))
    assert str(words.moment(when)) == (
        '<time datetime="2026-03-28T23:30:15Z" data-form="moment" title="2026-03-28 23:30:15 UTC">2026-03-28 23:30 UTC</time>'
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (4320, "1 h 12 min"), (86400, "1 day"),
                          (187200, "2 days 4 h"), (10**7, "115 days")],
)  # fmt: skip
def test_duration_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert words.plain_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0432, "0.0432"),
        (-0.02, f"{words.MINUS}0.0200"),
        (123.4, "123"),
        (1234.0, "1234"),
        (0, "0"),
        (1, "1.00"),
        (3e-7, f"3.00e{words.MINUS}07"),
    ],
)
def test_number_with_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_curve_has_its_words_and_falls_where_the_loss_falls() -> None:
    chart = str(line_chart([(0, 1.0), (50, 0.1), (100, 0.05)], x_label="steps", label="<loss>"))
    assert chart.count("<title>&lt;loss&gt;</title>") == 2
    path = re.search(r'class="line" d="M([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+)"', chart)
    assert path
    x0, y0, x1, y1, x2, y2 = map(float, path.groups())
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # downwards
    assert "style=" not in chart


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.5, 0.5), (0.03, 0.9), (-2, 3), (1e-6, 1e6), (0.02, 0.021)])
def test_scale_holds_its_values_and_a_few_ticks(low: float, high: float) -> None:
    scale = Scale.fitting(low, high)
    for value in (low, high):
        assert 0 <= scale.share(value) <= 1
    assert 2 <= len(scale.ticks()) <= 40
    assert all(-1e-9 <= scale.share(tick) <= 1 + 1e-9 for tick in scale.ticks())


def test_bars_of_a_table_share_their_axis() -> None:
    estimates = [Estimate(-3, -5, -1), Estimate(2, 1, 3)]
    ends = common_range(estimates, zero=True)
    assert ends[0] < -5 < 3 < ends[1]
    places = [float(re.search(r'class="dot" d="M([\d.]+)', str(interval_bar(each, ends)))[1]) for each in estimates]
    assert places[0] < places[1]
    assert 'class="zero"' not in str(interval_bar(estimates[0], ends))
    assert 'class="zero"' in str(interval_bar(estimates[0], ends, zero=True))


def test_one_value_alone_has_an_axis() -> None:
    low, high = common_range([Estimate(0.5, 0.5, 0.5)], zero=False)
    assert low < 0.5 < high


def test_tokens_name_every_colour_that_parts_use() -> None:
    tokens = set(re.findall(r"(--[a-z0-9-]+):", read_text("tokens.css")))
    used = set(re.findall(r"var\((--[a-z0-9-]+)", read_text("components.css"))) - {"--tone"}
    assert used <= tokens, SimpleNamespace(missing=used - tokens)
