"""Commands about the corpus: build it, in one go or in parts, and look at it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.options import JsonOption, print_table

if TYPE_CHECKING:
    from c2lst_server.tiles.corpus import Corpus

tiles_app = typer.Typer(no_args_is_help=True, help="Tiles to train on: slides are cut, ready-made tiles collected.")
OutOption = Annotated[Path, typer.Option(help="Folder for the corpus.")]


@tiles_app.command()
def build(
    images: Annotated[Path, typer.Option(help="Folder of H&E slides, or of ready-made tiles in subfolders.")],
    out: OutOption,
    organ: Annotated[str | None, typer.Option(help="What the tiles show, for the record.")] = None,
    preset: Annotated[str, typer.Option(help="Whose tile size: tiny, small or paper.")] = "small",
    um_per_px: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres per pixel, where the images do not say.")
    ] = None,
    patch_um: Annotated[
        float | None, typer.Option(min=1, max=10_000, help="Tissue that a tile shows, micrometres; the preset's by default.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="What the images are: slides or tiles; by default the folder shows it.")
    ] = None,
    overlap: Annotated[float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles of a slide.")] = 0.5,
    min_tissue: Annotated[float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.")] = 0.5,
    quality_filter: Annotated[
        bool, typer.Option("--quality-filter/--no-quality-filter", help="Leave out blurred, folded and pen-marked tiles.")
    ] = True,
    reference: Annotated[Path | None, typer.Option(help="Image whose stain the tiles get; a typical slide by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of stain samples and of the choice of slides that are held out.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one per core, at most 8.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Build part i of n only, from 0/n to (n - 1)/n; then run tiles merge once.")
    ] = None,
    output: Annotated[
        str, typer.Option("--format", help="npy (one file) or webdataset (tar shards, smaller, decoded as they are read).")
    ] = "npy",
) -> None:
    """Cut, check and stain-normalise tiles; run again, it goes on where it stopped.

    With --shard, many machines build one corpus: a Slurm array passes --shard $SLURM_ARRAY_TASK_ID/n, an indexed Kubernetes job
    --shard $JOB_COMPLETION_INDEX/n, all of them with the same --out; then tiles merge makes the corpus of the parts.
    """
    from c2lst_server.tiles.build import build_corpus, origin_of
    from c2lst_server.tiles.merge import merge
    from c2lst_server.tiles.parts import build_part, part_from_text
    from c2lst_server.tiles.processes import default_workers
    from c2lst_server.tiles.sources import kind_from_text
    from c2lst_shared.presets import get_preset
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
                typer.echo(f"Part {shard}: {tiles} tiles of {len(record.slides)} slides in {len(record.shards)} shards.")
                typer.echo(f"Next, when all parts are built: c2lst-server tiles merge {out}")
                return
            corpus = merge(out)
    _print_summary(corpus)


@tiles_app.command()
def merge(out: Annotated[Path, typer.Argument(help="Folder of the corpus.")]) -> None:
    """Make one corpus of all parts that tiles build --shard left; no tile is read or copied."""
    from c2lst_server.tiles.merge import merge

    _print_summary(merge(out))


@tiles_app.command()
def show(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    sheet: Annotated[Path | None, typer.Option(help="Where the contact sheet goes; contact_sheet.png in the folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show slides, tiles, what was refused and why, the split, and write a contact sheet."""
    from c2lst_server.tiles.contact_sheet import save_contact_sheet
    from c2lst_server.tiles.corpus import Corpus

    corpus = Corpus.open(out)
    path = sheet or out / "contact_sheet.png"
    save_contact_sheet(path, corpus)
    if as_json:
        typer.echo(corpus.record.model_dump_json(indent=1))
        return
    print_table(
        ("SLIDE", "TILES", "REFUSED", "REPEATED", "UM/PX"),
        [
            (slide.name, str(slide.count), _reasons(slide.refused), str(slide.duplicates), f"{slide.um_per_px:.3g}")
            for slide in corpus.record.slides
        ],
        empty="No slide.",
    )
    _print_summary(corpus)
    typer.echo(f"Contact sheet  {path}")


def _print_summary(corpus: Corpus) -> None:
    record = corpus.record
    refused = sum((Counter(slide.refused) for slide in record.slides), Counter[str]())
    looked_at = record.count + refused.total() + sum(slide.duplicates for slide in record.slides)
    held_out = len(corpus.validation_indices)
    typer.echo(f"Corpus         {corpus.folder}{f' of {record.organ}' if record.organ else ''}")
    typer.echo(f"Tiles          {record.count} of {looked_at}, {len(record.slides)} slides")
    typer.echo(f"Refused        {_reasons(refused)}")
    typer.echo(f"Repeated       {sum(slide.duplicates for slide in record.slides)}")
    typer.echo(f"Split          {len(corpus.train_indices)} to train on, {held_out} held out")
    typer.echo(f"Tile           {record.settings.image_px} px, {record.settings.patch_um:g} um")
    typer.echo(f"Stain of       {record.reference}")


def _reasons(refused: dict[str, int]) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()) if count)
    return counts or "none"
