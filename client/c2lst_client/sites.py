"""The slides that this institution works on: one folder per site, with what each step made.

sites/NAME/  site.json  spots/  adapter/  backbone/  synthetic/  conditioning/  cotrain/  study/  privacy/
             report.html  journal.json
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from c2lst_client.home import Home
from c2lst_client.spots.records import Record
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared import locking
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import Organ

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class SiteRecord(Record):
    """What the user said about a site."""

    format: Literal[1] = 1
    name: str
    organ: Organ
    spots: Path  # absolute: the client may be started anywhere
    image: Path | None = None
    um_per_px: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True)
class Site:
    """One site's folder and its record."""

    folder: Path
    record: SiteRecord

    @property
    def name(self) -> str:
        """The name the user gave it."""
        return self.record.name

    @property
    def spots(self) -> Path:
        """Prepared spots: patches in the release's colours, raw counts."""
        return self.folder / "spots"

    @property
    def adapter(self) -> Path:
        """The adapter with its panel, split, record and losses."""
        return self.folder / "adapter"

    @property
    def backbone(self) -> Path:
        """What was measured of the backbone alone on the site's patches."""
        return self.folder / "backbone"

    @property
    def synthetic(self) -> Path:
        """Synthetic pairs for co-training."""
        return self.folder / "synthetic"

    @property
    def conditioning(self) -> Path:
        """Patches generated from the expression of held-out spots, and what was measured on them."""
        return self.folder / "conditioning"

    @property
    def cotrain(self) -> Path:
        """Results and predictions of co-training."""
        return self.folder / "cotrain"

    @property
    def study(self) -> Path:
        """Adapters, pairs, predictions and results of the study."""
        return self.folder / "study"

    @property
    def privacy(self) -> Path:
        """What was measured on how much adapter and pairs give away."""
        return self.folder / "privacy"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Let no other process work on this site meanwhile.

        Raises:
            Busy: another one does.
        """
        message = f"Another c2lst command is working on site {self.name}; wait until it is done, or stop it."
        with locking.locked(self.folder / ".lock", message):
            yield

    def read_spots(self) -> SpotSet:
        """Read the site's spots from where the user said they are.

        Raises:
            BadInput: they cannot be used.
        """
        from c2lst_client.spots.read import read_spots

        record = self.record
        return read_spots(record.spots, record.image, record.um_per_px, image_folder=self.folder)


def add_site(
    home: Home, name: str, *, organ: str, spots: Path, image: Path | None = None, um_per_px: float | None = None
) -> tuple[Site, SpotSet]:
    """Register a slide under `name` once it has been read without complaint; the same call again changes nothing.

    Raises:
        BadInput: the name is taken by other spots, or the spots cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot be a site's name; use up to 63 lower-case letters, digits, '-' and '_'.")
    record = SiteRecord(
        name=name, organ=organ, spots=spots.absolute(), image=image.absolute() if image else None, um_per_px=um_per_px
    )
    site = Site(home.site(name), record)
    path = site.folder / "site.json"
    if path.exists() and SiteRecord.load(path) != record:
        raise BadInput(f"There is a site {name!r} with other spots or settings; choose another name, or delete {site.folder}.")
    found = site.read_spots()
    record.save(path)
    return site, found


def open_site(home: Home, name: str) -> Site:
    """Return the site called `name`.

    Raises:
        BadInput: there is none.
    """
    folder = home.site(name)
    if not _NAME.fullmatch(name) or not (folder / "site.json").exists():
        known = ", ".join(site_names(home)) or "none yet"
        raise BadInput(
            f"There is no site {name!r} (sites: {known}); "
            f"add it with `c2lst-client site add {name} --organ ORGAN --spots PATH`."
        )
    return Site(folder, SiteRecord.load(folder / "site.json"))


def site_names(home: Home) -> list[str]:
    """Return the names of all sites, sorted."""
    return sorted(path.parent.name for path in (home.path / "sites").glob("*/site.json"))
