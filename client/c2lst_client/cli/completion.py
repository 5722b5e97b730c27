"""What the shell completes after a Tab: names that the state folder holds, read from its folders alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from c2lst_client.cli.opening import home_of
from c2lst_shared.command_line import completion

if TYPE_CHECKING:
    from c2lst_client.home import Home


def _folders(ctx: typer.Context) -> Home:
    return home_of(ctx.params.get("home"))


@completion
def complete_site(ctx: typer.Context) -> Iterable[str]:
    """Sites that were added."""
    return (folder.name for folder in (_folders(ctx).path / "sites").iterdir())


@completion
def complete_organ(ctx: typer.Context) -> Iterable[str]:
    """Organs of which a release is here."""
    return (folder.name for folder in _folders(ctx).releases.iterdir())


@completion
def complete_release(ctx: typer.Context) -> Iterable[str]:
    """Releases that are here, such as mob/1."""
    return (f"{folder.parent.name}/{folder.name}" for folder in _folders(ctx).releases.glob("*/[0-9]*"))


@completion
def complete_round(ctx: typer.Context) -> Iterable[str]:
    """Rounds that were offered."""
    from c2lst_client.rounds.job_queue import JobQueue

    queue = _folders(ctx).round_queue
    return (job.round_id for job in JobQueue(queue).all()) if queue.exists() else ()
