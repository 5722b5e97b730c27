"""Commands about the slides with their spots: look at them, register them, list them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_client.cli.options import HomeOption, JsonOption, home_of

if TYPE_CHECKING:
    from c2lst_client.spots.spotset import SpotSet

app = typer.Typer()
site_app = typer.Typer(no_args_is_help=True, help="The slides that this institution works on.")

ImageOption = Annotated[Path | None, typer.Option(help="The slide's image, when it cannot be found beside the spots.")]
ScaleOption = Annotated[
    float | None, typer.Option(min=0.05, max=50, help="Micrometres per pixel of the image; from the spot pitch by default.")
]


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder or file with spots.")],
    image: ImageOption = None,
    um_per_px: ScaleOption = None,
    preview: Annotated[
        Path | None, typer.Option(help="Write a picture there (.png): the slide with its spots, and twelve patches.")
    ] = None,
    patch_um: Annotated[float, typer.Option(min=1, max=10_000, help="Side of the picture's patches, in micrometres.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Say what is found at a path (format, spots, genes, scale, doubts), without running or keeping anything."""
    import tempfile

    from c2lst_client.spots.read import read_spots

    with tempfile.TemporaryDirectory() as scratch:
        found = read_spots(path, image, um_per_px, image_folder=Path(scratch))
        if preview is not None:
            from c2lst_client.preview import write_preview

            write_preview(found, preview, patch_um)
        _print_spots(found, as_json, preview)


@site_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'.")],
    organ: Annotated[str, typer.Option(help="Organ of the release to use, for example mob.")],
    spots: Annotated[Path, typer.Option(help="Folder or file with the spots.")],
    image: ImageOption = None,
    um_per_px: ScaleOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a slide with its spots under a name, once it has been read without complaint."""
    from c2lst_client import sites

    site, found = sites.add_site(home_of(home), name, organ=organ, spots=spots, image=image, um_per_px=um_per_px)
    _print_spots(found, as_json)
    if not as_json:
        typer.echo(f"Next: c2lst-client adapt --site {site.name}")


@site_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the sites of this institution."""
    from c2lst_client import sites

    folder = home_of(home)
    records = [sites.open_site(folder, name).record for name in sites.site_names(folder)]
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
        return
    for record in records:
        typer.echo(f"{record.name:<20} {record.organ:<12} {record.spots}")
    if not records:
        typer.echo("No site yet; add one with `c2lst-client site add NAME --organ ORGAN --spots PATH`.")


def _print_spots(spots: SpotSet, as_json: bool, preview: Path | None = None) -> None:
    if as_json:
        found: dict[str, object] = {
            "source": spots.source,
            "spots": len(spots),
            "genes": len(spots.genes),
            "um_per_px": spots.um_per_px,
            "image": str(spots.slide.path),
            "notes": spots.notes,
        }
        if preview is not None:
            found["preview"] = str(preview)
        typer.echo(json.dumps(found, indent=1))
        return
    width, height = spots.slide.size
    typer.echo(f"{spots.source}: {len(spots)} spots, {len(spots.genes)} genes, image {width} x {height} px")
    for note in spots.notes:
        typer.echo(f"  {note}")
    if preview is not None:
        typer.echo(f"Preview: {preview}")
