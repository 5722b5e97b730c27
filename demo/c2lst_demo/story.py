"""The whole story, told with the commands that an operator and an institution would type.

    central: init -> train -> publish -> serve, invite a site
    site:    enroll -> pull -> add its slide -> adapt -> synthesise -> evaluate -> cotrain -> report

Every command skips what it has done already, so the same story told twice ends quickly.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.markup import escape

from c2lst_demo.answers import Catalogue, Conditioning, Cotrain, Inspected, Results, SiteState
from c2lst_demo.commands import HOST, Commands, check_port, free_port
from c2lst_demo.phantom import TRUTH, make_phantom
from c2lst_shared import atomic, journal
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES
from c2lst_shared.release.targets import check_organ

RECORD = "demo.json"
SITE = "demo"
STEPS = ("adapt", "synthesise", "evaluate", "cotrain", "report")
RUN = "demo"


FAST_PRESET = "tiny"
FAST: dict[str, list[str]] = {  # command -> options that make it short
    "train": ["--steps", "8"],
    "adapt": ["--steps", "4"],
    "synthesise": ["--steps", "2"],
    "evaluate": ["--steps", "2"],
    "cotrain": ["--seeds", "1"],
}


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
    demo = Demo(out=out, data=data.absolute() if data else out / "phantom", organ=organ, preset=preset, port=free_port())
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


def tell(demo: Demo, console: Console, *, fast: bool = False) -> Results:
    """Do everything from raw images to the report; steps that are done are passed over.

    Args:
        demo: what to tell.
        console: where to say what happens.
        fast: take a few steps of everything, to see that it runs.

    Returns:
        What the institution measured.

    Raises:
        C2lstError: a step failed or was stopped.
    """
    commands = Commands(console, demo.settings)
    if demo.is_phantom:
        demo.save()
        _paint(demo, console, fast=fast)
    um_per_px = commands.ask(Inspected, "c2lst-client", "inspect", str(demo.data / "site"), "--json").um_per_px
    demo.save()  # only now: data that cannot be read leave nothing behind
    console.print("\nTwo variables tell the commands below where their state is:", style="dim")
    for name, value in demo.settings.items():
        console.print(f"[bold]$ export {name}={escape(shlex.quote(value))}[/bold]", highlight=False, soft_wrap=True)
    _heading(console, "Central: many images, no genes")
    _central(commands, demo, um_per_px, console, FAST if fast else {})
    _heading(console, "Site: one slide, a few hundred spots with genes")
    with commands.serving(demo.port, demo.out / "server.log"):
        return _institution(commands, demo, FAST if fast else {})


def _central(commands: Commands, demo: Demo, um_per_px: float, console: Console, extra: dict[str, list[str]]) -> None:
    passphrase = str(demo.out / "passphrase")
    commands.run("c2lst-server", "init", "--passphrase-file", passphrase, "--make-passphrase-file")
    console.print(
        f"\nThe central images carry no scale; the site's spots tell {um_per_px:.2f} um per pixel, taken for both.",
        style="dim",
        highlight=False,
    )
    commands.run(
        *("c2lst-server", "train", "--organ", demo.organ, "--images", str(demo.data / "central"), "--preset", demo.preset),
        *("--um-per-px", f"{um_per_px:.4f}", "--run", RUN, *extra.get("train", [])),
    )
    catalogue = commands.ask(Catalogue, "c2lst-server", "releases", "list", "--json")
    if demo.organ not in [release.organ for release in catalogue.releases]:
        commands.run("c2lst-server", "publish", RUN, "--organ", demo.organ, "--passphrase-file", passphrase)


def _institution(commands: Commands, demo: Demo, extra: dict[str, list[str]]) -> Results:
    if not (demo.client / "enrolment.json").exists():
        _enrol(commands, demo)
    commands.run("c2lst-client", "pull", "--organ", demo.organ)
    commands.run("c2lst-client", "site", "add", SITE, "--organ", demo.organ, "--spots", str(demo.data / "site"))
    for step in STEPS:
        commands.run("c2lst-client", step, "--site", SITE, *extra.get(step, []))
    return Results(
        conditioning=commands.ask(
            Conditioning, "c2lst-client", "evaluate", "--site", SITE, "--json", *extra.get("evaluate", [])
        ),
        cotrain=commands.ask(Cotrain, "c2lst-client", "cotrain", "--site", SITE, "--json", *extra.get("cotrain", [])),
    )


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}")


def _paint(demo: Demo, console: Console, *, fast: bool) -> None:
    """Make the phantom, once."""
    if (demo.data / TRUTH).exists():
        return
    console.print("Painting a phantom: tissue with planted genes, in place of data (about 20 s) ...")
    with journal.recorded("phantom", demo.out):
        if fast:
            make_phantom(demo.data, central_slides=1, central_um=1500, site_um=2400)
        else:
            make_phantom(demo.data)


def _enrol(commands: Commands, demo: Demo) -> None:
    """Invite and enrol the site; an invitation that was used up to no effect is replaced."""
    known = commands.ask(list[SiteState], "c2lst-server", "sites", "list", "--json")
    if any(site.name == SITE and site.state != "invited" for site in known):
        commands.run("c2lst-server", "sites", "remove", SITE)
    file = str(demo.out / "demo-enrolment.json")
    commands.run("c2lst-server", "sites", "add", SITE, "--url", f"http://{HOST}:{demo.port}", "--out", file)
    commands.run("c2lst-client", "enroll", file)


def _organ_name(data: Path) -> str:
    """Make a folder's name fit for an organ: at most 32 lower-case letters, digits and dashes, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", data.absolute().name.lower()).strip("-")
    for candidate in (name[:32].rstrip("-"), f"organ-{name}"[:32].rstrip("-")):
        try:
            return check_organ(candidate)
        except BadInput:
            continue
    raise BadInput(f"{data} has no name that could name an organ; rename the folder.")
