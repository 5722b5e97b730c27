"""Commands about the slides with their spots: look at them, register them, list them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_client.cli.completion import complete_organ
from c2lst_client.cli.opening import home_of
from c2lst_client.cli.options import HomeOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_client.spots.spotset import SpotSet

app = CommandLine(panel="Slides")
site_app = CommandLine(help="The slides that this institution works on.")

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
    """Say what is found at a path (format, spots, genes, scale, doubts), without running or keeping anything.

    Known are Space Ranger's outs/ (Visium, Visium HD), HEST-1k, AnnData (.h5ad), SpatialData (.zarr) and legacy arrays (tables
    of counts and of spots). Look at the picture of --preview before you go on: spots must lie on the tissue.

    Examples:
        c2lst-client inspect site/
        c2lst-client inspect outs/ --image slide.ome.tif --preview look.png
        c2lst-client inspect sample.h5ad --um-per-px 0.5 --json
    """
    import tempfile

    from c2lst_client.spots.read import read_spots

    with tempfile.TemporaryDirectory() as scratch:
        found = read_spots(path, image, um_per_px, image_folder=Path(scratch))
        if preview is not None:
            from c2lst_client.preview import write_preview

            write_preview(found, preview, patch_um)
        _show_spots(found, as_json=as_json, preview=preview)


@site_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'.")],
    organ: Annotated[str, typer.Option(help="Organ of the release to use, for example mob.", autocompletion=complete_organ)],
    spots: Annotated[Path, typer.Option(help="Folder or file with the spots.")],
    image: ImageOption = None,
    um_per_px: ScaleOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a slide with its spots under a name, once it has been read without complaint.

    The files are read where they are, now and at later steps; they are not copied.

    Examples:
        c2lst-client site add rep11 --organ mob --spots site/
        c2lst-client site add c5 --organ breast --spots outs/ --image slide.ome.tif
    """
    from c2lst_client import sites

    site, found = sites.add_site(home_of(home), name, organ=organ, spots=spots, image=image, um_per_px=um_per_px)
    _show_spots(found, as_json=as_json, following=[f"Next: c2lst-client adapt --site {site.name}"])


@site_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the sites of this institution.

    Examples:
        c2lst-client site list
        c2lst-client site list --json
    """
    from c2lst_client import sites

    folder = home_of(home)
    records = [sites.open_site(folder, name).record for name in sites.site_names(folder)]
    lines = [f"{record.name:<20} {record.organ:<12} {record.spots}" for record in records]
    none = ["No site yet; add one with `c2lst-client site add NAME --organ ORGAN --spots PATH`."]
    show(records, lines or none, as_json=as_json)


def _show_spots(spots: SpotSet, *, as_json: bool, preview: Path | None = None, following: Sequence[str] = ()) -> None:
    found = {
        "source": spots.source,
        "spots": len(spots),
        "genes": len(spots.genes),
        "um_per_px": spots.um_per_px,
        "image": spots.slide.path,
        "notes": spots.notes,
    }
    width, height = spots.slide.size
    lines = [f"{spots.source}: {len(spots)} spots, {len(spots.genes)} genes, image {width} x {height} px"]
    lines += [f"  {note}" for note in spots.notes]
    if preview is not None:
        found["preview"] = preview
        lines.append(f"Preview: {preview}")
    show(found, [*lines, *following], as_json=as_json)
