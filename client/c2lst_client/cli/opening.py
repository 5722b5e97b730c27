"""What commands open before they do anything: the state folder, and the journey at a site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c2lst_client.home import Home
    from c2lst_client.journey import Journey
    from c2lst_client.settings import Settings


def settings_of(home: Path | None) -> Settings:
    """Return the settings of the environment with the state folder of the option."""
    from c2lst_client.settings import Settings

    return Settings() if home is None else Settings(home=home)


def home_of(home: Path | None) -> Home:
    """Return the state folder."""
    return settings_of(home).folders


@contextmanager
def journey_of(home: Path | None, site: str) -> Iterator[Journey]:
    """Open a site's journey with progress on the terminal and a polite stop."""
    from c2lst_client.sites import open_site

    settings = settings_of(home)
    opened = open_site(settings.folders, site)  # before torch and the others are imported: a wrong name is told at once
    from c2lst_client.journey import Journey
    from c2lst_shared.progress import console_progress
    from c2lst_shared.stopping import stop_on_signal

    with opened.exclusively(), console_progress() as progress, stop_on_signal() as stop:
        yield Journey(settings, opened, progress=progress, stop=stop)
