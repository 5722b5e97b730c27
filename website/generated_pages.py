"""Pages that mkdocs gets from the code in place of a file: both command lines, the HTTP interface, the changelog."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import command_reference
import http_reference
from c2lst_client.cli import app as client
from c2lst_server.cli import app as server

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; mkdocs calls this by its name."""
    pages = {
        "reference/c2lst-client.md": command_reference.page("c2lst-client", client),
        "reference/c2lst-server.md": command_reference.page("c2lst-server", server),
        "reference/http.md": http_reference.page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "adr/index.md": decisions(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def decisions() -> str:
    """Return a page that lists the decisions by their titles."""
    rows = ["# Decisions", "", "One page for each decision that a newcomer would question, with its reason.", ""]
    for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = path.read_text().splitlines()[0].lstrip("# 0123456789.")
        rows.append(f"1. [{title}]({path.name})")
    return "\n".join(rows) + "\n"
