"""How pages are filled in: Jinja2 that escapes everything and complains of what is missing; numbers in words as filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst_client.report import words
from c2lst_shared.web import pages

if TYPE_CHECKING:
    import jinja2


def environment() -> jinja2.Environment:
    """Return the environment that every page is rendered in."""
    found = pages.environment()
    found.filters |= {
        "decimal": words.decimal,
        "percent": words.percent,
        "duration": words.duration,
        "typeset": words.typeset,
        "interval": words.interval,
        "percent_interval": lambda estimate: words.interval(estimate, words.percent),
    }
    return found
