"""Commands about trainings that are queued, and the trainer that works on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.completion import complete_training
from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, PresetOption, table
from c2lst_server.cli.watching import follow
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_server.trainings.store import TrainingView

app = CommandLine(panel="Training")
trainings_app = CommandLine(help="Trainings that wait for a trainer, run, or are over.")

TrainingArgument = Annotated[
    str,
    typer.Argument(
        metavar="TRAINING",
        help="Its identifier, an unambiguous beginning of it, or the name of its run.",
        autocompletion=complete_training,
    ),
]


@app.command()
def trainer(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to be done now.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work on queued trainings, one at a time, until stopped; start several, on as many machines as share the database.

    With --json one line per beginning and end of a training.

    Examples:
        c2lst-server trainer
        c2lst-server trainer --once --json
    """
    import logging

    from c2lst_server.db.session import wait_for_database
    from c2lst_server.trainings.trainer import Event, work
    from c2lst_shared.stopping import stop_on_signal

    def report(event: Event) -> None:
        typer.echo(event.model_dump_json(exclude_none=True) if as_json else f"{event.time:%H:%M:%S}  {event.sentence()}")

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    settings = settings_of(home)
    with stop_on_signal() as stop:
        wait_for_database(settings, stop)
        taken = work(settings, stop, once=once, report=report)
    if not as_json:
        typer.echo(f"Took up {taken} training{'s' * (taken != 1)}.")


@trainings_app.command("queue")
def queue_training(
    organ: Annotated[str, typer.Option(help="What the backbone is for, for example mob or breast.")],
    images: Annotated[str, typer.Option(help="Name of a folder in C2LST_SERVER_IMAGES: slides, tiles or a corpus.")],
    preset: PresetOption = "small",
    um_per_px: Annotated[float | None, typer.Option(help="Micrometres per pixel, where the images do not say.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run; ORGAN-PRESET by default.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the plan; queue nothing.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a training for the next trainer that is free.

    It names a folder of C2LST_SERVER_IMAGES, never a path (docs/training.md).

    Examples:
        c2lst-server trainings queue --organ mob --images mob-sections --um-per-px 2.75 --dry-run
        c2lst-server trainings queue --organ breast --images breast-slides --preset paper
    """
    from pydantic import ValidationError

    from c2lst_server.trainings import store
    from c2lst_server.trainings.plan import TrainingPlan
    from c2lst_shared.errors import BadInput

    values = {"organ": organ, "images": images, "preset": preset, "um_per_px": um_per_px, "run": run, "steps": steps}
    try:
        wanted = TrainingPlan.model_validate(values | {"seed": seed})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise BadInput(
            f"--{option} cannot be {first['input']!r}: {first['msg'].removeprefix('Value error, ').rstrip('.')}."
        ) from None
    settings = settings_of(home)
    with session_of(settings) as session:
        if dry_run:
            show(store.checked(session, settings, wanted), [], as_json=True)
            if not as_json:
                typer.echo("Would be queued; nothing was.", err=True)
            return
        found = store.queue(session, settings, wanted)
    lines = [
        f"Training {found.training_id} of run {found.run} is queued.",
        f"Next: c2lst-server trainings show {found.training_id} --watch (while a `c2lst-server trainer` runs)",
    ]
    show(found, lines, as_json=as_json)


@trainings_app.command("list")
def list_trainings(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all trainings, the newest first.

    Examples:
        c2lst-server trainings list
    """
    from c2lst_server.trainings import store

    with session_of(settings_of(home)) as session:
        found = store.list_trainings(session)
    rows = [(each.training_id, each.run, f"{each.queued:%Y-%m-%d %H:%M}", each.in_words()) for each in found]
    show(found, table(("TRAINING", "RUN", "QUEUED", "STATE"), rows, empty="No training yet."), as_json=as_json)


@trainings_app.command("show")
def show_training(
    training: TrainingArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a training is, its losses, and why it failed.

    With --watch --json one line of JSON whenever something changed.

    Examples:
        c2lst-server trainings show mob-small
        c2lst-server trainings show mob-small --watch
    """
    from c2lst_server.trainings import store

    with session_of(settings_of(home)) as session:
        found = store.show(session, training)
        if watch:
            whole = found.training_id  # a run's name may be that of another training by and by
            found = follow(
                session,
                lambda: store.show(session, whole),
                over=lambda now: now.is_over,
                line=lambda now: now.model_dump_json() if as_json else f"{now.run}: {now.in_words()}",
            )
        detail = store.why(session, found.training_id)
    result = found.model_dump(mode="json") | {"detail": detail}
    if as_json and watch:
        typer.echo(json.dumps(result))
        return
    show(result, _lines(found, detail), as_json=as_json)


@trainings_app.command("cancel")
def cancel_training(training: TrainingArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop a training: at once while it waits, else after it has saved; `resume` goes on from there.

    Examples:
        c2lst-server trainings cancel mob-small
    """
    from c2lst_server.trainings import store

    with session_of(settings_of(home)) as session:
        found = store.cancel(session, training)
    asked = "is asked to save and stop" if found.state == "cancelling" else f"is {found.state}"
    show(found, [f"Training {found.training_id} {asked}."], as_json=as_json)


@trainings_app.command("resume")
def resume_training(training: TrainingArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Queue a training again that was cancelled or failed; it goes on from its checkpoint.

    Examples:
        c2lst-server trainings resume mob-small
    """
    from c2lst_server.trainings import store

    with session_of(settings_of(home)) as session:
        found = store.resume(session, training)
    show(found, [f"Training {found.training_id} is queued again."], as_json=as_json)


def _lines(found: TrainingView, detail: str | None) -> list[str]:
    lines = [f"Training  {found.training_id}, {found.in_words()}", f"Run       {found.run}"]
    plan = found.plan.model_dump(exclude={"run"}, exclude_none=True)
    lines += [f"  {name:<10}{value}" for name, value in plan.items()]
    if detail:
        lines.append(f"Error     {detail}")
    shown = found.curve[:: max(1, len(found.curve) // 8)]
    if shown:
        lines.append(f"Loss      {'  '.join(f'{point.step}: {point.loss:.4f}' for point in shown)}")
    lines += [f"{name:<9} {number:.4f}" for name, number in found.metrics.items()]
    if found.state == "finished":
        lines.append(f"Next: c2lst-server publish {found.run} --organ {found.plan.organ}")
    elif found.is_over:
        lines.append(f"Next: c2lst-server trainings resume {found.training_id}")
    return lines
