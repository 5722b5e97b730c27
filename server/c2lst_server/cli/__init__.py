"""`c2lst-server`: what the central operator types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

from c2lst_server.cli import (
    admins,
    audit,
    backup,
    federation,
    keys,
    publishing,
    rounds,
    service,
    sites,
    tiles,
    train,
    trainings,
)
from c2lst_shared.command_line import CommandLine, exit_codes, with_version
from c2lst_shared.console import run

app = CommandLine(
    help=f"""The central service of c2lst.

Every command has a page with examples: c2lst-server COMMAND --help.

Examples:
  c2lst-server init
  c2lst-server train --organ mob --images central/ --um-per-px 2.75
  c2lst-server publish mob-small --organ mob
  c2lst-server sites add hospital-a --url https://central.example.org --out hospital-a.json
  c2lst-server serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
  c2lst-server --install-completion

Environment:
  C2LST_SERVER_HOME             state folder; ~/.local/share/c2lst-server by default
  C2LST_SERVER_DATABASE_URL     another database than SQLite in the state folder
  C2LST_SERVER_PASSPHRASE_FILE  file with the passphrase of the root and targets keys
  C2LST_SERVER_IMAGES           holds the folders of images that queued trainings may name

{exit_codes()}
"""
)
with_version(app)
app.add_typer(service.app)
app.add_typer(train.app)
app.add_typer(publishing.app)
app.add_typer(backup.app)
app.add_typer(federation.app)
app.add_typer(publishing.stage_app, name="stage", rich_help_panel=publishing.PANEL)
app.add_typer(publishing.releases_app, name="releases", rich_help_panel=publishing.PANEL)
keys.keys_app.command("init")(service.init)  # the keys are made with the repository that they sign, so it is one command
app.add_typer(keys.keys_app, name="keys", rich_help_panel=publishing.PANEL)
app.add_typer(sites.sites_app, name="sites", rich_help_panel=audit.PANEL)
app.add_typer(rounds.rounds_app, name="rounds", rich_help_panel=audit.PANEL)
app.add_typer(admins.admins_app, name="admins", rich_help_panel=audit.PANEL)
app.add_typer(audit.app)
app.add_typer(tiles.tiles_app, name="tiles", rich_help_panel="Training")
app.add_typer(trainings.app)
app.add_typer(trainings.trainings_app, name="trainings", rich_help_panel="Training")


def main() -> None:
    """Run the command line; the exit code says which branch of the error tree was met."""
    run(app)
