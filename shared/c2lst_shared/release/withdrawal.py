"""A release that is not to be used any more: the organ's role signs a mark in place of its files.

The mark is a target `ORGAN/NUMBER/withdrawn.json` that nobody needs to fetch: what it says is signed with its entry, so a site
knows of it as soon as it has the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from tuf.api.metadata import TargetFile

from c2lst_shared.errors import BadArtefact
from c2lst_shared.release.targets import HASHES, numbers_with, target_path

MARK = "withdrawn.json"


class Withdrawal(BaseModel):
    """When and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$"), Field(max_length=500)]
    when: AwareDatetime

    def __str__(self) -> str:
        return f"withdrawn on {self.when:%Y-%m-%d}: {self.reason.rstrip('.')}"


def mark(organ: str, number: int, withdrawal: Withdrawal) -> TargetFile:
    """Return the target that says so."""
    path, content = target_path(organ, number, MARK), withdrawal.model_dump_json()
    target = TargetFile.from_data(path, content.encode(), HASHES)
    target.unrecognized_fields["custom"] = withdrawal.model_dump(mode="json")
    return target


def withdrawals(targets: Mapping[str, TargetFile], organ: str) -> dict[int, Withdrawal]:
    """Return number -> withdrawal of the releases of `organ` that its signed `targets` withdraw.

    Raises:
        BadArtefact: a mark does not say when and why.
    """
    found = {}
    for number in numbers_with(targets, organ, MARK):
        try:
            found[number] = Withdrawal.model_validate(targets[target_path(organ, number, MARK)].custom)
        except ValidationError as error:
            raise BadArtefact(f"The withdrawal of {organ}/{number} cannot be read; ask the central operator.") from error
    return found
