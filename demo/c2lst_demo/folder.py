"""The folder of one demo: what it was made for, where everything lies in it, and whether it can be used."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from c2lst_demo.commands import check_port, free_port
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES
from c2lst_shared.release.targets import check_organ

RECORD = "demo.json"
SITE = "demo"
RUN = "demo"


class Demo(BaseModel):
    """One demo, as its folder remembers it."""

    model_config = ConfigDict(extra="forbid")

    out: Path  # absolute
    data: Path  # a folder with central/ and site/
    organ: str
    preset: str
    port: int

    @property
    def central(self) -> Path:
        """State folder of the central service."""
        return self.out / "central"

    @property
    def client(self) -> Path:
        """State folder of the institution."""
        return self.out / "institution"

    @property
    def is_phantom(self) -> bool:
        """Whether the data are painted, not given."""
        return self.data == self.out / "phantom"

    def save(self) -> None:
        """Let the folder remember what it is for."""
        atomic.write_text(self.out / RECORD, self.model_dump_json(indent=1))

    @property
    def settings(self) -> dict[str, str]:
        """The environment that tells both command lines where their state is."""
        return {"C2LST_SERVER_HOME": str(self.central), "C2LST_HOME": str(self.client)}

    @property
    def run(self) -> Path:
        """Where pretraining leaves its work."""
        return self.central / "runs" / RUN

    @property
    def site(self) -> Path:
        """Where the institution's steps leave theirs."""
        return self.client / "sites" / SITE

    @property
    def report(self) -> Path:
        """The report on the site's slide."""
        return self.site / "report.html"


def open_demo(data: Path | None, out: Path | None, preset: str) -> Demo:
    """Return the demo of these choices: the one that `out` holds, or a new one.

    Args:
        data: folder with `central/` and `site/`; None for a phantom.
        out: where everything goes; `demo-run` for the phantom, else `demo-run-ORGAN`, when not given.
        preset: name of the configuration.

    Raises:
        BadInput: `data` is no such folder, or `out` holds a demo of other choices or something else.
    """
    organ = "phantom" if data is None else _organ_name(data)
    out = (out or Path("demo-run" if data is None else f"demo-run-{organ}")).absolute()
    if data is not None:
        check_data(data)
    demo = Demo(out=out, data=data.resolve() if data else out / "phantom", organ=organ, preset=preset, port=free_port())
    path = out / RECORD
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BadInput(f"{out} exists and is not a demo's folder; pass another --out.")
        return demo
    try:
        earlier = Demo.model_validate_json(path.read_text())
    except (ValidationError, OSError):
        raise BadInput(f"{path} is damaged; delete {out} or pass another --out.") from None
    if demo != earlier.model_copy(update={"port": demo.port}):
        raise BadInput(
            f"{out} holds a demo of {earlier.data} with preset {earlier.preset}; pass another --out, or delete that folder."
        )
    check_port(earlier.port)
    return earlier


def check_data(data: Path) -> None:
    """Check that `data` has what a demo needs, as far as names can tell.

    Raises:
        BadInput: it has not.
    """
    if not data.is_dir():
        raise BadInput(f"There is no folder {data}; pass one that holds central/ (H&E images) and site/ (a slide with spots).")
    missing = [name for name in ("central", "site") if not (data / name).is_dir()]
    if missing:
        raise BadInput(
            f"{data} has no folder {' and no folder '.join(f'{name}/' for name in missing)}; it needs central/ and site/."
        )
    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in (data / "central").iterdir()):
        raise BadInput(f"{data / 'central'} holds no image; put H&E images ({', '.join(IMAGE_SUFFIXES)}) there.")


def _organ_name(data: Path) -> str:
    """Make a folder's name fit for an organ: at most 32 lower-case letters, digits and dashes, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", data.resolve().name.lower()).strip("-")
    for candidate in (name[:32].rstrip("-"), f"organ-{name}"[:32].rstrip("-")):
        try:
            return check_organ(candidate)
        except BadInput:
            continue
    raise BadInput(f"{data} has no name that could name an organ; rename the folder.")
