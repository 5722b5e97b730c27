"""Dates, durations and sizes for people; dates carry the moment itself, so that page.js can set them in the reader's zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def moment(when: datetime) -> Markup:
    """Return a moment to the minute, in UTC where no script runs."""
    return _time(when, "moment", f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def day(when: datetime) -> Markup:
    """Return a moment to the day."""
    return _time(when, "day", f"{when.astimezone(UTC):%Y-%m-%d}")


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units, `3 days 4 h`, `1 h 12 min` or `40 s`."""
    left = max(0, round(seconds))
    days, left = divmod(left, 86_400)
    hours, left = divmod(left, 3600)
    minutes, rest = divmod(left, 60)
    if days:
        return f"{days}{NBSP}day{'s' * (days > 1)}" + (f" {hours}{NBSP}h" if hours and days < 10 else "")
    if hours:
        return f"{hours}{NBSP}h {minutes}{NBSP}min"
    return f"{minutes}{NBSP}min" if minutes else f"{rest}{NBSP}s"


def plain_duration(seconds: float) -> str:
    """Return the same for a terminal, with plain blanks."""
    return duration(seconds).replace(NBSP, " ")


def size(count: float) -> str:
    """Return a number of bytes in powers of ten, `31.4 MB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f}{NBSP}{unit}"
    return f"{count:.0f}{NBSP}bytes"


def number(value: float, digits: int = 3) -> str:
    """Return a measured value with so many significant digits and a true minus sign."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    text = f"{value:.{digits - 1}e}" if exponent < -4 else f"{value:.{max(0, digits - 1 - exponent)}f}"
    return text.replace("-", MINUS)


def grouped(value: int) -> str:
    """Return a whole number in groups of three."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _time(when: datetime, form: str, text: str) -> Markup:
    from markupsafe import Markup

    machine = f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Markup('<time datetime="{}" data-form="{}" title="{} UTC">{}</time>').format(
        machine, form, f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}", text
    )
