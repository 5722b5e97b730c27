"""Which folders of images a queued training may name: those that the operator put, or linked, into one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from c2lst_server.errors import NotThere
from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FolderName = Annotated[str, StringConstraints(pattern=f"^{_NAME.pattern}$")]
NOT_SET = "No folder of images may be trained on; set C2LST_SERVER_IMAGES to the folder that holds them."


class ImageFolder(BaseModel):
    """One folder that may be named."""

    name: FolderName
    corpus: bool  # whether it is a corpus of `tiles build`, which is used as it is


def image_folders(settings: Settings) -> list[ImageFolder]:
    """Return the folders that may be named, sorted; none when the setting is missing."""
    from c2lst_server.tiles.corpus import is_corpus

    root = settings.images_root
    if root is None or not root.is_dir():
        return []
    names = sorted(path.name for path in root.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    return [ImageFolder(name=name, corpus=is_corpus(root / name)) for name in names]


def find_images(settings: Settings, name: str) -> Path:
    """Return the folder called `name`; only the names of the list are looked up, so nothing beside them can be reached.

    Raises:
        BadInput: the setting is missing.
        NotThere: there is no such folder.
    """
    root = settings.images_root
    if root is None:
        raise BadInput(NOT_SET)
    known = [folder.name for folder in image_folders(settings)]
    if name not in known:
        raise NotThere(f"There is no folder of images {name!r}; there are: {', '.join(known) or 'none yet'}.")
    return root / name
