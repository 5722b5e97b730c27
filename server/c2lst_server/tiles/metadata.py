"""Which slide a ready-made tile shows: as a table beside the tiles says (`*.csv` or `*.json`), or as the tile's name begins."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from c2lst_shared.errors import BadInput

FILE_KEYS = ("file", "filename", "file_name", "path", "image", "image_path", "patch", "tile", "name")
SLIDE_KEYS = ("slide", "slide_id", "slide_name", "wsi", "wsi_id", "case", "case_id", "patient", "patient_id")
MAX_BYTES = 256 << 20
_NUMBERS_AT_END = re.compile(r"(?:[_-]+[xy]?\d+)+$", re.IGNORECASE)  # positions and counters: _1024_2048, _x3_y7, -12


def slides_in_metadata(folder: Path) -> dict[str, str]:
    """Return the slide of every file that a table names; empty without such a table.

    Raises:
        BadInput: a table is damaged or larger than `MAX_BYTES`.
    """
    slides: dict[str, str] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".json") and path.is_file()):
        for row in _rows(path):
            file, slide = _first(row, FILE_KEYS), slide_named_in(row)
            if file is not None and slide is not None:
                slides[file.replace("\\", "/").removeprefix("./")] = slide
    return slides


def slide_named_in(row: Mapping[str, object]) -> str | None:
    """Return the slide that a row of a table, or the description of one tile, names."""
    return _first(row, SLIDE_KEYS)


def slide_of(name: str) -> str | None:
    """Return the slide that a tile's name begins with (`S12_1024_2048`); None when it begins with a word (`tile_17`)."""
    stem = PurePosixPath(name).name.partition(".")[0]
    beginning = _NUMBERS_AT_END.sub("", stem)
    return beginning if beginning != stem and any(character.isdigit() for character in beginning) else None


def _rows(path: Path) -> Sequence[Mapping[str, object]]:
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path} has more than {MAX_BYTES >> 20} MiB; keep only the columns of the file and of its slide.")
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".csv":
            return list(csv.DictReader(text.splitlines()))
        content = json.loads(text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as a table of tiles ({error}); mend it or move it away.") from None
    return [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []


def _first(row: Mapping[str, object], keys: Sequence[str]) -> str | None:
    lowered = {str(key).strip().lower(): value for key, value in row.items()}
    return next((str(lowered[key]) for key in keys if isinstance(lowered.get(key), str | int) and lowered[key] != ""), None)
