"""Small frozen records that a site keeps as JSON: saved atomically, read back whole or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput


def canonical_json(content: object) -> str:
    """Return the one JSON text of `content`: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Record(BaseModel):
    """A closed, frozen record with a file form and a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the record's canonical JSON: equal for equal content, whatever wrote it."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the record to `path` atomically."""
        atomic.write_text(path, self.model_dump_json(indent=1))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the record back.

        Raises:
            BadInput: there is no such file.
            BadArtefact: the file is not what `save` wrote.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise BadInput(f"There is no {path}; run the step that writes it first.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BadArtefact(f"{path} is damaged ({where}: {first['msg']}); delete it and run its step again.") from None
