"""Small frozen records that a site keeps as JSON: saved atomically, read back whole or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from c2lst_shared import atomic
from c2lst_shared.canonical import fingerprint
from c2lst_shared.errors import BadArtefact, BadInput


class Record(BaseModel):
    """A closed, frozen record with a file form and a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def fingerprint(self) -> str:
        """Equal for equal content, whatever wrote it."""
        return fingerprint(self)

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
            _refuse_newer(path, error)
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BadArtefact(f"{path} is damaged ({where}: {first['msg']}); delete it and run its step again.") from None


def _refuse_newer(path: Path, error: ValidationError) -> None:
    """Say so when a record is not damaged but of a newer version: it has a higher format, or fields that are not known here.

    Raises:
        BadInput: it is.
    """
    for found in error.errors():
        newer_format = found["loc"] == ("format",) and isinstance(found["input"], int)
        if newer_format or found["type"] == "extra_forbidden":
            what = f"format {found['input']}" if newer_format else f"the field {'.'.join(map(str, found['loc']))}"
            raise BadInput(
                f"{path} has {what}, which this version of c2lst does not know; install the newer version that wrote it."
            ) from None
