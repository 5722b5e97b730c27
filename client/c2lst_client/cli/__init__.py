"""`c2lst-client`: what an institution types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import typer

from c2lst_client.cli import audit, backup, export, policy, rounds, service, slides, steps, study, trust
from c2lst_shared.console import run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The institution's side of c2lst: all data stays here.",
)
app.add_typer(trust.app)
app.add_typer(slides.app)
app.add_typer(slides.site_app, name="site")
app.add_typer(steps.app)
app.add_typer(study.app)
app.add_typer(export.app)
app.add_typer(service.app)
app.add_typer(rounds.rounds_app, name="rounds")
app.add_typer(policy.policy_app, name="policy")
app.add_typer(audit.audit_app, name="audit")
app.add_typer(backup.app)


def main() -> None:
    """Run the command line."""
    run(app)
