"""From a template to an answer: Jinja2 that escapes everything and complains of what is missing, and the headers of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst_shared.web import words
from c2lst_shared.web.assets import Assets
from c2lst_shared.web.forms import Flash

if TYPE_CHECKING:
    import jinja2
    from starlette.responses import HTMLResponse

# Browsers name the page that a form comes from (Origin) only where the referrer is not forbidden altogether.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Link:
    """One entry of the navigation."""

    label: str
    address: str


@dataclass(frozen=True)
class Frame:
    """What is around the content of a page."""

    product: str  # for example "c2lst centre"
    home: str  # address of the first page
    navigation: Sequence[Link] = ()
    here: str = ""  # address of the entry that the page belongs to
    who: str = ""  # is signed in; empty when nobody is
    sign_out: str = ""  # address that signing out is posted to
    csrf: str = ""  # of the session, for every form
    live: str = ""  # address of the events; empty when nothing of the page changes by itself
    flash: Flash | None = None  # what came of the last thing that was done


def environment(loader: jinja2.BaseLoader | None = None) -> jinja2.Environment:
    """Return the environment that every page is rendered in, that of the report included."""
    import jinja2

    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def page_environment(package: str, assets: Assets) -> jinja2.Environment:
    """Return an environment with the templates of `package` (its folder `templates`) and those of this package."""
    import jinja2

    found = environment(jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(__package__)]))
    found.globals["asset"] = assets.url
    found.filters |= {
        each.__name__: each for each in (words.moment, words.day, words.duration, words.size, words.number, words.grouped)
    }
    return found


def render(templates: jinja2.Environment, name: str, frame: Frame, /, *, status: int = 200, **content: object) -> HTMLResponse:
    """Return the page that the template `name` makes of `content`."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(templates.get_template(name).render(frame=frame, **content), status, headers=HEADERS)


def render_error(
    templates: jinja2.Environment, frame: Frame, status: int, title: str, sentence: str, *, back: Link | None = None
) -> HTMLResponse:
    """Return the page that says what went wrong and where to go on."""
    back = back or Link("Back to the overview", frame.home)
    return render(templates, "error.html.j2", frame, status=status, title=title, sentence=sentence, back=back)
