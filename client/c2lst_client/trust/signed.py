"""What the verified metadata on disk says, checked again from the pinned root; needs no network."""

from __future__ import annotations

from pathlib import Path

from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from c2lst_client.home import Home
from c2lst_client.trust.pinned import Enrolment, read_pinned_root
from c2lst_client.trust.refusals import refusals
from c2lst_shared.errors import BadArtefact


def signed_targets(home: Home, enrolment: Enrolment, organ: str) -> dict[str, TargetFile]:
    """Return target path -> signed length and digest of everything released for `organ`, empty when there is nothing.

    Expiry dates do not matter here: they bound how old news may be when it comes in, not how long it may be used.

    Raises:
        BadArtefact: the metadata on disk is not signed by the keys to which the pinned root leads.
    """
    with refusals():
        top = _top_level(home, enrolment)
        if organ not in _delegated(top):
            return {}
        content = _read(home.metadata / f"{organ}.json")
        role = Metadata[Targets].from_bytes(content)
        top.verify_delegate(organ, role.signed_bytes, role.signatures)
        return role.signed.targets


def signed_organs(home: Home, enrolment: Enrolment) -> list[str]:
    """Return the organs for which there are releases, sorted.

    Raises:
        BadArtefact: the metadata on disk is not signed by the keys to which the pinned root leads.
    """
    with refusals():
        return sorted(_delegated(_top_level(home, enrolment)))


def _top_level(home: Home, enrolment: Enrolment) -> Targets:
    root = Metadata[Root].from_bytes(read_pinned_root(home, enrolment)).signed
    history = home.metadata / "root_history"
    while (path := history / f"{root.version + 1}.root.json").exists():
        newer = Metadata[Root].from_bytes(path.read_bytes())
        root.verify_delegate(Root.type, newer.signed_bytes, newer.signatures)
        newer.signed.verify_delegate(Root.type, newer.signed_bytes, newer.signatures)
        root = newer.signed
    top = Metadata[Targets].from_bytes(_read(home.metadata / "targets.json"))
    root.verify_delegate(Targets.type, top.signed_bytes, top.signatures)
    return top.signed


def _delegated(top: Targets) -> set[str]:
    return set(top.delegations.roles or ()) if top.delegations else set()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadArtefact(f"The signed metadata {path} is missing; pull again to fetch it.") from None
