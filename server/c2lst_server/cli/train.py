"""The command that trains a backbone in the terminal."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import settings_of
from c2lst_server.cli.options import HomeOption, PresetOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.logs import LogFormat, write_logs

app = CommandLine(panel="Training")
TILES, TRAINING = "Tiles", "Training"


@app.command()
def train(
    organ: Annotated[str, typer.Option(help="What the backbone is for, for example mob or breast.")],
    images: Annotated[Path, typer.Option(help="Folder of H&E slides or of tiles, or a corpus of `tiles build`.")],
    preset: PresetOption = "small",
    run: Annotated[str | None, typer.Option(help="Name of the run; ORGAN-PRESET by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tile and normalise the images, then stop.")] = False,
    um_per_px: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Micrometres per pixel, where the images do not say.", rich_help_panel=TILES),
    ] = None,
    overlap: Annotated[float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles.", rich_help_panel=TILES)] = 0.5,
    min_tissue: Annotated[
        float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.", rich_help_panel=TILES)
    ] = 0.5,
    quality_filter: Annotated[
        bool,
        typer.Option(
            "--quality-filter/--no-quality-filter",
            help="Leave out blurred, folded and pen-marked tiles.",
            rich_help_panel=TILES,
        ),
    ] = True,
    corpus_workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that prepare tiles; by default one per core, at most 8.", rich_help_panel=TILES),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps, instead of the preset's.", rich_help_panel=TRAINING)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and noise.", rich_help_panel=TRAINING)] = 0,
    log_format: Annotated[
        LogFormat, typer.Option(help="text: progress for people; json: a line of JSON now and then on standard error.")
    ] = LogFormat.TEXT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tile and stain-normalise images, then pretrain a backbone; the same command resumes after a stop.

    Several cards or machines: docs/training.md. From a queue: `trainings queue` and `trainer`. A large collection:
    `tiles build` first.

    Examples:
        c2lst-server train --organ mob --images central/ --um-per-px 2.75
        c2lst-server train --organ mob --images central/ --um-per-px 2.75 --dry-run
        c2lst-server train --organ breast --images corpus/ --preset paper
    """
    from c2lst_server.training import pretrain
    from c2lst_shared.diffusion.workers import join_workers
    from c2lst_shared.presets import get_preset
    from c2lst_shared.processes import default_workers
    from c2lst_shared.progress import Progress, Silent, console_progress, logged_progress
    from c2lst_shared.stopping import stop_on_signal

    chosen = get_preset(preset).with_training_steps(steps)
    name = run or f"{organ}-{preset}"
    progress: AbstractContextManager[Progress] = console_progress()
    if log_format == LogFormat.JSON:
        write_logs(log_format)
        progress = nullcontext(logged_progress(logging.getLogger(__name__)))
    with progress as shown, stop_on_signal() as stop, join_workers() as workers:
        record = pretrain.train(
            settings_of(home).folders,
            organ=organ,
            images=images,
            preset=chosen,
            run_id=name,
            um_per_px=um_per_px,
            overlap=overlap,
            min_tissue=min_tissue,
            seed=seed,
            quality_filter=quality_filter,
            corpus_only=dry_run,
            corpus_workers=corpus_workers or default_workers(),
            progress=shown if workers.is_first else Silent(),
            stop=stop,
            workers=workers,
        )
    if not workers.is_first:
        return
    lines = [f"Corpus of {record.tiles} tiles from {record.images} images."]
    if record.state == "finished":
        loss = record.metrics["validation_loss"]
        lines.append(f"Run {name} is trained: validation loss {loss:.4f} after {record.steps_done} steps.")
        lines.append(f"Next: c2lst-server publish {name} --organ {organ}")
    show(record, lines, as_json=as_json)
