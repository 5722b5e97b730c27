"""`c2lst-client`: what an institution types. Each command parses, calls one library function and prints.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

from c2lst_client.cli import audit, backup, console, export, policy, rounds, service, slides, steps, study, trust
from c2lst_shared.command_line import CommandLine, exit_codes, with_version
from c2lst_shared.console import run

app = CommandLine(
    help=f"""The institution's side of c2lst: all data stays here.

Every command has a page with examples: c2lst-client COMMAND --help. What comes next is told by `status`, what is wrong by
`doctor`.

Examples:
  c2lst-client enroll hospital-a.json
  c2lst-client site add rep11 --organ mob --spots site/
  c2lst-client report --site rep11
  c2lst-client --install-completion

Environment:
  C2LST_HOME   state folder; ~/.local/share/c2lst by default
  C2LST_PROXY  the one proxy to go through, for example http://proxy.hospital.example:3128

{exit_codes()}
"""
)
with_version(app)
app.add_typer(trust.app)
app.add_typer(slides.app)
app.add_typer(slides.site_app, name="site", rich_help_panel="Slides")
app.add_typer(steps.app)
app.add_typer(study.app)
app.add_typer(export.app)
app.add_typer(service.rounds_app)
app.add_typer(rounds.rounds_app, name="rounds", rich_help_panel="Rounds")
app.add_typer(policy.policy_app, name="policy", rich_help_panel="Rounds")
app.add_typer(audit.audit_app, name="audit", rich_help_panel="Rounds")
app.add_typer(service.app)
app.add_typer(console.app)
app.add_typer(backup.app)


def main() -> None:
    """Run the command line."""
    run(app)
