"""Commands about the corpus: build it, in one go or in parts, and look at it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.completion import complete_preset
from c2lst_server.cli.options import table
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_server.tiles.corpus import Corpus

tiles_app = CommandLine(help="Tiles to train on: slides are cut, ready-made tiles collected.")
TILE, KEPT, WORK = "What a tile is", "Which tiles are kept", "How it is done"
CorpusArgument = Annotated[Path, typer.Argument(help="Folder of the corpus.")]
OutOption = Annotated[Path, typer.Option(help="Folder for the corpus.")]


@tiles_app.command()
def build(
    images: Annotated[Path, typer.Option(help="Folder of H&E slides, or of ready-made tiles in subfolders.")],
    out: OutOption,
    organ: Annotated[str | None, typer.Option(help="What the tiles show, for the record.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="What the images are: slides or tiles; by default the folder shows it.")
    ] = None,
    preset: Annotated[
        str,
        typer.Option(help="Whose tile size: tiny, small or paper.", rich_help_panel=TILE, autocompletion=complete_preset),
    ] = "small",
    um_per_px: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Micrometres per pixel, where the images do not say.", rich_help_panel=TILE),
    ] = None,
    patch_um: Annotated[
        float | None,
        typer.Option(
            min=1, max=10_000, help="Tissue that a tile shows, micrometres; the preset's by default.", rich_help_panel=TILE
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Image whose stain the tiles get; a typical slide by default.", rich_help_panel=TILE),
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles of a slide.", rich_help_panel=KEPT)
    ] = 0.5,
    min_tissue: Annotated[
        float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.", rich_help_panel=KEPT)
    ] = 0.5,
    quality_filter: Annotated[
        bool,
        typer.Option(
            "--quality-filter/--no-quality-filter",
            help="Leave out blurred, folded and pen-marked tiles.",
            rich_help_panel=KEPT,
        ),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of stain samples and of the choice of slides that are held out.", rich_help_panel=WORK),
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core, at most 8.", rich_help_panel=WORK)
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Build part i of n only, from 0/n to (n - 1)/n; then run tiles merge once.", rich_help_panel=WORK),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--format",
            help="npy (one file) or webdataset (tar shards, smaller, decoded as they are read).",
            rich_help_panel=WORK,
        ),
    ] = "npy",
    as_json: JsonOption = False,
) -> None:
    """Cut, check and stain-normalise tiles; run again, it goes on where it stopped.

    With --shard, many machines build one corpus: a Slurm array passes --shard $SLURM_ARRAY_TASK_ID/n, an indexed Kubernetes job
    --shard $JOB_COMPLETION_INDEX/n, all of them with the same --out; then tiles merge makes the corpus of the parts.

    Examples:
        c2lst-server tiles build --images slides/ --organ breast --um-per-px 0.5 --out corpus/
        c2lst-server tiles build --images spider/ --kind tiles --organ skin --out corpus/
        c2lst-server tiles build --images slides/ --um-per-px 0.5 --out corpus/ --shard 3/16
    """
    from c2lst_server.tiles.build import build_corpus, origin_of
    from c2lst_server.tiles.merge import merge
    from c2lst_server.tiles.parts import build_part, part_from_text
    from c2lst_server.tiles.sources import kind_from_text
    from c2lst_shared.presets import get_preset
    from c2lst_shared.processes import default_workers
    from c2lst_shared.progress import console_progress

    if output not in ("npy", "webdataset"):
        raise typer.BadParameter(f"--format is npy or webdataset, not {output!r}.")
    backbone = get_preset(preset).backbone
    part = None if shard is None else part_from_text(shard)
    origin = origin_of(
        images,
        backbone=backbone if patch_um is None else backbone.model_copy(update={"patch_um": patch_um}),
        organ=organ,
        um_per_px=um_per_px,
        overlap=overlap,
        min_tissue=min_tissue,
        quality_filter=quality_filter,
        kind=kind_from_text(kind),
        reference=reference,
        seed=seed,
    )
    with console_progress() as shown:
        if part is None and output == "npy":
            corpus = build_corpus(origin, out, workers=workers or default_workers(), progress=shown)
        else:
            record = build_part(origin, out, *(part or (0, 1)), workers=workers or default_workers(), progress=shown)
            if part is not None:
                tiles = sum(slide.count for slide in record.slides)
                lines = [
                    f"Part {shard}: {tiles} tiles of {len(record.slides)} slides in {len(record.shards)} shards.",
                    f"Next, when all parts are built: c2lst-server tiles merge {out}",
                ]
                show(record, lines, as_json=as_json)
                return
            corpus = merge(out)
    show(corpus.record, _summary(corpus), as_json=as_json)


@tiles_app.command()
def merge(out: CorpusArgument, as_json: JsonOption = False) -> None:
    """Make one corpus of all parts that tiles build --shard left; no tile is read or copied.

    Examples:
        c2lst-server tiles merge corpus/
    """
    from c2lst_server.tiles.merge import merge

    corpus = merge(out)
    show(corpus.record, _summary(corpus), as_json=as_json)


@tiles_app.command("show")
def show_corpus(
    out: CorpusArgument,
    sheet: Annotated[Path | None, typer.Option(help="Where the contact sheet goes; contact_sheet.png in the folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show slides, tiles, what was refused and why, the split, and write a contact sheet.

    Look at the sheet before you believe the numbers.

    Examples:
        c2lst-server tiles show corpus/
        c2lst-server tiles show corpus/ --sheet look.png --json
    """
    from c2lst_server.tiles.contact_sheet import save_contact_sheet
    from c2lst_server.tiles.corpus import Corpus

    corpus = Corpus.open(out)
    path = sheet or out / "contact_sheet.png"
    save_contact_sheet(path, corpus)
    slides = table(
        ("SLIDE", "TILES", "REFUSED", "REPEATED", "UM/PX"),
        [
            (slide.name, str(slide.count), _reasons(slide.refused), str(slide.duplicates), f"{slide.um_per_px:.3g}")
            for slide in corpus.record.slides
        ],
        empty="No slide.",
    )
    show(corpus.record, [*slides, *_summary(corpus), f"Contact sheet  {path}"], as_json=as_json)


def _summary(corpus: Corpus) -> list[str]:
    record = corpus.record
    refused = sum((Counter(slide.refused) for slide in record.slides), Counter[str]())
    looked_at = record.count + refused.total() + sum(slide.duplicates for slide in record.slides)
    return [
        f"Corpus         {corpus.folder}{f' of {record.organ}' if record.organ else ''}",
        f"Tiles          {record.count} of {looked_at}, {len(record.slides)} slides",
        f"Refused        {_reasons(refused)}",
        f"Repeated       {sum(slide.duplicates for slide in record.slides)}",
        f"Split          {len(corpus.train_indices)} to train on, {len(corpus.validation_indices)} held out",
        f"Tile           {record.settings.image_px} px, {record.settings.patch_um:g} um",
        f"Stain of       {record.reference}",
    ]


def _reasons(refused: dict[str, int]) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()) if count)
    return counts or "none"
