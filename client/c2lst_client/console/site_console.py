"""What the pages of the console share: settings, templates, sessions, and how a page or the answer to a form is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from c2lst_client.console.checkup import Checkup
from c2lst_client.console.door import LIVE
from c2lst_client.console.kept_sessions import KeptSessions
from c2lst_client.console.reading_forms import Form, read_form
from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_shared.web.forms import Tone, forget_flash, leave_flash, take_flash
from c2lst_shared.web.live import Changes
from c2lst_shared.web.pages import Frame, Link, render, render_error
from c2lst_shared.web.sessions import is_used

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PRODUCT = "c2lst site"
WHO = "site administrator"
NAVIGATION = (
    Link("Overview", "/"),
    Link("Rounds", "/rounds"),
    Link("Policy", "/policy"),
    Link("Slides", "/slides"),
    Link("What left", "/record"),
    Link("Doctor", "/doctor"),
)


@dataclass(frozen=True)
class Console:
    """One console, as every handler gets it."""

    settings: Settings
    templates: jinja2.Environment
    sessions: KeptSessions
    changes: Changes
    checkup: Checkup

    @property
    def home(self) -> Home:
        """The state folder."""
        return self.settings.folders

    def frame(self, request: Request, here: str = "", *, live: bool = False) -> Frame:
        """Return what is around a page."""
        session = request.state.session
        if session is None:
            return Frame(PRODUCT, "/")
        return Frame(
            PRODUCT,
            "/",
            NAVIGATION,
            here,
            who=session.who,
            sign_out="/sign-out",
            csrf=session.csrf,
            live=LIVE if live else "",
            flash=take_flash(request) if is_used(request) else None,
        )

    def page(
        self, request: Request, name: str, here: str, content: Mapping[str, Any], *, code: int = 200, live: bool = False
    ) -> Response:
        """Return the page that a template makes of its content; `live` ones follow what happens."""
        response = render(self.templates, name, self.frame(request, here, live=live), status=code, **content)
        if is_used(request):
            forget_flash(request, response)
        return response

    def error(self, request: Request, status: int, title: str, sentence: str) -> Response:
        """Return the page that says what went wrong."""
        return render_error(self.templates, self.frame(request), status, title, sentence)


Show: TypeAlias = Callable[[Console, "Request"], "Response"]
Act: TypeAlias = Callable[[Console, "Request", Form], "Response"]


def showing(path: str, show: Show) -> Route:
    """Return the route of a page; it is made in a thread, as it reads files."""
    from starlette.routing import Route

    def handle(request: Request) -> Response:
        return show(request.app.state.console, request)

    return Route(path, handle, methods=["GET"], name=show.__name__)


def acting(path: str, act: Act) -> Route:
    """Return the route of a form, which is read and checked before anything is done."""
    from starlette.concurrency import run_in_threadpool
    from starlette.routing import Route

    async def handle(request: Request) -> Response:
        form = await read_form(request)
        return await run_in_threadpool(act, request.app.state.console, request, form)

    return Route(path, handle, methods=["POST"], name=act.__name__)


def starting(path: str, act: Callable[[Console, Request, Form], Awaitable[Response]]) -> Route:
    """Return the route of a form that starts something which goes on besides."""
    from starlette.routing import Route

    async def handle(request: Request) -> Response:
        return await act(request.app.state.console, request, await read_form(request))

    return Route(path, handle, methods=["POST"], name=act.__name__)


def go_to(request: Request, address: str, tone: Tone, sentence: str) -> Response:
    """Return the answer to a form that was carried out: the next page, which says what came of it."""
    from starlette.responses import RedirectResponse

    response = RedirectResponse(address, 303)
    leave_flash(request, response, tone, sentence)
    return response


def code_spans(sentence: str) -> Markup:
    """Return a sentence of the library with what stands between backticks as code, all of it escaped."""
    from markupsafe import Markup, escape

    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # a backtick that stands alone
        return escape(sentence)
    as_code = Markup("<code>{}</code>")
    return Markup("").join(as_code.format(part) if number % 2 else escape(part) for number, part in enumerate(parts))
