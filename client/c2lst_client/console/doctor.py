"""The page of doctor: it runs when somebody presses the button, as it asks the centre for its part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst_client.console.reading_forms import Form
from c2lst_client.console.site_console import Console, go_to, showing, starting
from c2lst_client.trust.pinned import load_enrolment

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HERE = "/doctor"
TONES = {"ok": "good", "warning": "warn", "fault": "bad"}
WORDS = {"ok": "well", "warning": "look at this", "fault": "fault"}


def routes() -> list[Route]:
    """Return the page and what its button does."""
    return [showing(HERE, show_doctor), starting(HERE, run_doctor)]


def show_doctor(console: Console, request: Request) -> Response:
    """Show what the last run found, and the buttons for another."""
    home = console.home
    last = console.checkup.last
    order = {"fault": 0, "warning": 1, "ok": 2}
    return console.page(
        request,
        "doctor.html.j2",
        HERE,
        {
            "checkup": console.checkup,
            "last": last,
            "findings": sorted(last.findings, key=lambda each: order[each.state]) if last else [],
            "server": load_enrolment(home).server if home.enrolment.exists() else None,
            "tones": TONES,
            "words": WORDS,
        },
        live=True,
    )


async def run_doctor(console: Console, request: Request, form: Form) -> Response:
    """Start a run."""
    if not console.checkup.start(offline=form.text("offline") == "yes"):
        return go_to(request, HERE, "warn", "Doctor runs already; what it finds is shown here.")
    return go_to(request, HERE, "good", "Doctor has begun; what it finds is shown here.")
