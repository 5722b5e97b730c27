"""`c2lst-server`: what the central operator types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import typer

from c2lst_server.cli import admins, backup, federation, keys, publishing, rounds, service, sites, tiles, trainings
from c2lst_shared.console import run

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="The central service of c2lst.")
app.add_typer(service.app)
app.add_typer(publishing.app)
app.add_typer(backup.app)
app.add_typer(federation.app)
app.add_typer(publishing.stage_app, name="stage")
app.add_typer(publishing.releases_app, name="releases")
keys.keys_app.command("init")(service.init)  # the keys are made with the repository that they sign, so it is one command
app.add_typer(keys.keys_app, name="keys")
app.add_typer(sites.sites_app, name="sites")
app.add_typer(rounds.rounds_app, name="rounds")
app.add_typer(admins.admins_app, name="admins")
app.add_typer(tiles.tiles_app, name="tiles")
app.add_typer(trainings.app)
app.add_typer(trainings.trainings_app, name="trainings")


def main() -> None:
    """Run the command line; the exit code says which branch of the error tree was met."""
    run(app)
