"""A withdrawn release is set aside and says why; its number stays taken; and nobody takes a site back in time."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from fakes.central import Central

from c2lst_client.home import Home
from c2lst_client.status import read_status
from c2lst_client.trust.pull import load_release, newest_here, pull
from c2lst_client.trust.seen import Seen, load_seen
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.publishing.withdraw import withdraw
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput

REASON = "The stain reference was fitted on another organ."


def take_back(central: Central, number: int = 1, reason: str = REASON) -> str:
    return str(withdraw(central.home, central.keyring, "mob", number, reason))


# At the centre


def test_withdrawn_release_is_offered_and_served_no_more(central: Central) -> None:
    served = central.served("weights.safetensors")
    assert take_back(central).endswith("The stain reference was fitted on another organ")
    assert read_catalogue(central.home).releases == []
    assert not served.exists()


def test_number_of_a_withdrawn_release_is_not_given_again(central: Central) -> None:
    take_back(central)
    assert central.publish("second").name == "mob/2"


@pytest.mark.parametrize(
    ("number", "reason", "message"),
    [
        (2, REASON, r"There is no release mob/2; the releases of mob are: mob/1\."),
        (1, "", "The reason must be one line"),
        (1, "two\nlines", "The reason must be one line"),
        (1, "x" * 501, "The reason must be one line"),
    ],
)
def test_withdrawal_that_makes_no_sense_changes_nothing(central: Central, number: int, reason: str, message: str) -> None:
    before = {path.name: path.read_bytes() for path in central.home.metadata.iterdir()}
    with pytest.raises(BadInput, match=message):
        take_back(central, number, reason)
    assert {path.name: path.read_bytes() for path in central.home.metadata.iterdir()} == before


def test_release_is_withdrawn_once(central: Central) -> None:
    take_back(central)
    with pytest.raises(BadInput, match=r"mob/1 was withdrawn on \d{4}-\d\d-\d\d: The stain reference"):
        take_back(central, reason="Again.")


# At a site


def test_withdrawn_release_is_set_aside_with_its_reason(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    take_back(central)
    central.publish("second")
    assert pull(enrolled, "mob").manifest.name == "mob/2"
    assert newest_here(enrolled, "mob") == 2
    with pytest.raises(BadInput, match=r"mob/1 was withdrawn on .*: The stain reference .* Adapt to another release"):
        load_release(enrolled, "mob", 1)
    with pytest.raises(BadInput, match="mob/1 was withdrawn"):
        pull(enrolled, "mob", 1)
    status = read_status(enrolled)
    assert status.releases == ["mob/2"]
    assert status.withdrawn["mob/1"].endswith("fitted on another organ")


def test_only_release_withdrawn_is_said(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    take_back(central)
    with pytest.raises(BadInput, match="no release for organ 'mob' any more; mob/1 was withdrawn"):
        pull(enrolled, "mob")
    assert newest_here(enrolled, "mob") is None


def test_server_that_lost_releases_is_refused_even_with_a_fresh_cache(central: Central, enrolled: Home) -> None:
    """As after a restore from a backup, or with metadata of long ago served to a site whose cache was cleared."""
    backup = central.home.path.parent / "backup"
    shutil.copytree(central.home.metadata, backup)
    root, timestamp = (enrolled.metadata / name for name in ("root.json", "timestamp.json"))
    pinned = timestamp.read_bytes()
    central.publish("second")
    pull(enrolled, "mob")
    shutil.rmtree(central.home.metadata)
    shutil.copytree(backup, central.home.metadata)
    shutil.rmtree(enrolled.metadata)
    enrolled.metadata.mkdir()
    timestamp.write_bytes(pinned)
    with pytest.raises(BadArtefact, match=r"This site has seen mob/2, and the server now names mob/1 as the newest"):
        pull(enrolled, "mob")
    assert load_seen(enrolled).newest == {"mob": 2}
    assert root.exists()


def test_clock_set_back_is_noticed(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    ahead = Seen(clock=datetime.now(UTC) + timedelta(days=3), newest={"mob": 1})
    atomic.write_text(enrolled.seen, ahead.model_dump_json())
    with pytest.raises(BadInput, match=r"This machine's clock says .* set it right"):
        pull(enrolled, "mob")


def test_clock_that_is_put_right_by_some_minutes_is_no_matter(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    soon = datetime.now(UTC) + timedelta(minutes=20)
    atomic.write_text(enrolled.seen, Seen(clock=soon, newest={"mob": 1}).model_dump_json())
    pull(enrolled, "mob")
    assert load_seen(enrolled).clock == soon


def test_damaged_record_of_what_was_seen_is_named(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    enrolled.seen.write_text(json.dumps({"newest": {"mob": "many"}}))
    with pytest.raises(BadArtefact, match=r"seen.json is damaged"):
        pull(enrolled, "mob")
