"""The colours of the design language, read for charts, so that a page and its figures cannot disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from c2lst_shared.web.assets import TOKENS, read_text

_COLOUR = re.compile(r"--([a-z-]+):\s*(#[0-9a-f]{6});")
_DARK = "@media screen and (prefers-color-scheme: dark)"

# Paul Tol's bright scheme: told apart by colour-blind readers, and visible on white cards.
CLUSTER_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")


Theme = Mapping[str, str]  # name of a CSS variable -> `#rrggbb`


def style_file(name: str) -> str:
    """Return the text of a style or template file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def page_style() -> str:
    """Return the style sheet of a page that needs no other file."""
    return read_text(TOKENS) + style_file("style.css")


@cache
def themes() -> tuple[Theme, Theme]:
    """Return the light and the dark theme."""
    light, dark = read_text(TOKENS).split(_DARK)
    return dict(_COLOUR.findall(light)), dict(_COLOUR.findall(dark))


def darken(drawing: str) -> str:
    """Return an SVG drawn in the light theme in the colours of the dark one."""
    light, dark = themes()
    pairs = {light[name]: dark[name] for name in light}
    return re.sub("|".join(pairs), lambda found: pairs[found.group()], drawing)
