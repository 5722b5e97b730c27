"""`python -m c2lst_demo`: see c2lst at work, from raw images to the report, on a phantom or on your own tissue."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from c2lst_demo.folder import open_demo
from c2lst_demo.screen import show_results
from c2lst_demo.story import FAST_PRESET, tell
from c2lst_shared.console import run
from c2lst_shared.errors import Interrupted
from c2lst_shared.presets import get_preset

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with central/ (H&E images) and site/ (a slide with spots); a phantom without it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where everything goes; demo-run, or demo-run-ORGAN with --data.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="tiny or small; tiny for the phantom, small for --data by default.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A few steps of everything: shows that it runs, not that it works.")
    ] = False,
) -> None:
    """Run the whole story with c2lst's own commands; told again, it skips what is done."""
    console = Console()
    chosen = preset or (FAST_PRESET if fast else "tiny" if data is None else "small")
    get_preset(chosen)
    opened = open_demo(data, out, chosen)
    try:
        results = tell(opened, console, fast=fast)
    except KeyboardInterrupt:
        raise Interrupted("Stopped; the same command goes on from here.") from None
    show_results(opened, results, console)


def main() -> None:
    """Run the command line; the exit code says which branch of the error tree was met."""
    # All end like Ctrl-C: the command saves, the server stops. SIGINT too: a shell's background job starts with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    run(app)


if __name__ == "__main__":
    main()
