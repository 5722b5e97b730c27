"""Tables beside ready-made tiles that say which slide each file shows: `*.csv` or `*.json` at the top of the folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from c2lst_shared.errors import BadInput

FILE_KEYS = ("file", "filename", "file_name", "path", "image", "image_path", "patch", "tile", "name")
SLIDE_KEYS = ("slide", "slide_id", "slide_name", "wsi", "wsi_id", "case", "case_id", "patient", "patient_id")
MAX_BYTES = 256 << 20


def slides_in_metadata(folder: Path) -> dict[str, str]:
    """Return the slide of every file that a table names; empty without such a table.

    Raises:
        BadInput: a table is damaged or larger than `MAX_BYTES`.
    """
    slides: dict[str, str] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".json") and path.is_file()):
        for row in _rows(path):
            lowered = {str(key).strip().lower(): value for key, value in row.items()}
            file, slide = _first(lowered, FILE_KEYS), _first(lowered, SLIDE_KEYS)
            if file is not None and slide is not None:
                slides[file.replace("\\", "/").removeprefix("./")] = slide
    return slides


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
    return next((str(row[key]) for key in keys if isinstance(row.get(key), str | int) and row[key] != ""), None)
