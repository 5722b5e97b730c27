"""The whole story, told with the commands that an operator and an institution would type.

    central: init -> train -> publish -> serve, invite a site
    site:    enroll -> pull -> add its slide -> adapt -> synthesise -> evaluate -> cotrain -> report

Every command skips what it has done already, so the same story told twice ends quickly.
"""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.markup import escape

from c2lst_demo.answers import Catalogue, Conditioning, Cotrain, Inspected, Results, SiteState
from c2lst_demo.commands import HOST, Commands
from c2lst_demo.folder import RUN, SITE, Demo
from c2lst_demo.phantom import SMALL, TRUTH, make_phantom
from c2lst_shared import journal

STEPS = ("adapt", "synthesise", "evaluate", "cotrain", "report")
FAST_PRESET = "tiny"
FAST: dict[str, list[str]] = {  # command -> options that make it short
    "train": ["--steps", "8"],
    "adapt": ["--steps", "4"],
    "synthesise": ["--steps", "2"],
    "evaluate": ["--steps", "2"],
    "cotrain": ["--seeds", "1"],
}


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
    asked = ("--site", SITE, "--json")
    return Results(
        conditioning=commands.ask(Conditioning, "c2lst-client", "evaluate", *asked, *extra.get("evaluate", [])),
        cotrain=commands.ask(Cotrain, "c2lst-client", "cotrain", *asked, *extra.get("cotrain", [])),
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
        make_phantom(demo.data, **(SMALL if fast else {}))


def _enrol(commands: Commands, demo: Demo) -> None:
    """Invite and enrol the site; an invitation that was used up to no effect is replaced."""
    known = commands.ask(list[SiteState], "c2lst-server", "sites", "list", "--json")
    if any(site.name == SITE and site.state != "invited" for site in known):
        commands.run("c2lst-server", "sites", "remove", SITE)
    file = str(demo.out / "demo-enrolment.json")
    commands.run("c2lst-server", "sites", "add", SITE, "--url", f"http://{HOST}:{demo.port}", "--out", file)
    commands.run("c2lst-client", "enroll", file)
