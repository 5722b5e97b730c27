"""A release is taken back: sites that hear of it set it aside."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from pydantic import ValidationError

from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import signed_targets
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.repository import Repository, editing
from c2lst_shared.errors import BadInput
from c2lst_shared.release.targets import FILES, check_organ, complete_numbers, target_path
from c2lst_shared.release.withdrawal import Withdrawal, mark, withdrawals


def withdraw(home: Home, keyring: Keyring, organ: str, number: int, reason: str, now: datetime | None = None) -> Withdrawal:
    """Sign that a release is not to be used, stop serving its files, and return what was signed.

    Raises:
        BadInput: there is no such release, it is withdrawn already, or the reason is empty or no printable text.
    """
    with editing(home, keyring, now) as repository:
        withdrawal = stage_withdrawal(home, repository, organ, number, reason, now or datetime.now(UTC))
        repository.commit()
    forget_files(home, organ, number)
    return withdrawal


def stage_withdrawal(home: Home, repository: Repository, organ: str, number: int, reason: str, now: datetime) -> Withdrawal:
    """Stage the organ's role without the release's files and with a mark in their place.

    Raises:
        BadInput: as `withdraw`.
    """
    try:
        withdrawal = Withdrawal(reason=reason, when=now.replace(microsecond=0))
    except ValidationError as error:
        raise BadInput("The reason must be one line of at most 500 printable characters; sites will read it.") from error
    signed = signed_targets(home, check_organ(organ))
    earlier = withdrawals(signed, organ).get(number)
    if earlier is not None:
        raise BadInput(f"{organ}/{number} was {earlier}.")
    there = complete_numbers(signed, organ)
    if number not in there:
        known = ", ".join(f"{organ}/{existing}" for existing in there) or "none"
        raise BadInput(f"There is no release {organ}/{number}; the releases of {organ} are: {known}.")
    repository.withdraw(organ, [target_path(organ, number, file) for file in FILES], mark(organ, number, withdrawal))
    return withdrawal


def forget_files(home: Home, organ: str, number: int) -> None:
    """Remove the files of a withdrawn release: nobody is led there any more."""
    shutil.rmtree(home.targets / organ / str(number), ignore_errors=True)
