"""What the shell completes after a Tab: names that the home and the database hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from c2lst_server.cli.opening import session_of, settings_of
from c2lst_shared.command_line import completion

if TYPE_CHECKING:
    from c2lst_server.settings import Settings


def _settings(ctx: typer.Context) -> Settings:
    settings = settings_of(ctx.params.get("home"))
    settings.folders.check_initialised()  # a Tab makes no database
    return settings


@completion
def complete_site(ctx: typer.Context) -> Iterable[str]:
    """Sites that were invited."""
    from c2lst_server.sites import registry

    with session_of(_settings(ctx)) as session:
        return [site.name for site in registry.list_sites(session)]


@completion
def complete_administrator(ctx: typer.Context) -> Iterable[str]:
    """Administrators that have a token."""
    from c2lst_server import administrators

    with session_of(_settings(ctx)) as session:
        return [administrator.name for administrator in administrators.list_administrators(session)]


@completion
def complete_round(ctx: typer.Context) -> Iterable[str]:
    """Rounds that were offered."""
    from c2lst_server.rounds import store

    with session_of(_settings(ctx)) as session:
        return [each.round_id for each in store.list_rounds(session)]


@completion
def complete_training(ctx: typer.Context) -> Iterable[str]:
    """Trainings in the queue, by the name of their run."""
    from c2lst_server.trainings import store

    with session_of(_settings(ctx)) as session:
        return [each.run for each in store.list_trainings(session)]


@completion
def complete_run(ctx: typer.Context) -> Iterable[str]:
    """Runs of training."""
    from c2lst_server.runs import run_ids

    return run_ids(_settings(ctx).folders)


@completion
def complete_release(ctx: typer.Context) -> Iterable[str]:
    """Releases, such as mob/1."""
    from c2lst_server.publishing.catalogue import read_catalogue

    return [item.name for item in read_catalogue(_settings(ctx).folders).releases]


@completion
def complete_organ(ctx: typer.Context) -> Iterable[str]:
    """Organs that have a release."""
    from c2lst_server.publishing.catalogue import read_catalogue

    return [item.organ for item in read_catalogue(_settings(ctx).folders).releases]


@completion
def complete_preset(ctx: typer.Context) -> Iterable[str]:
    """Presets."""
    from c2lst_shared.presets import PRESETS

    return PRESETS
