"""A state folder of an older client is used as it is; what a newer one wrote is refused with what to do, not called damaged."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import Policy, load_policy
from c2lst_client.sites import SiteRecord, open_site
from c2lst_shared.errors import BadArtefact, BadInput


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """As a client wrote it that knew no image, no scale, and fewer limits."""
    home = Home(tmp_path)
    home.site("rep11").mkdir(parents=True)
    (home.site("rep11") / "site.json").write_text('{"format": 1, "name": "rep11", "organ": "mob", "spots": "/data/rep11"}')
    home.policy.write_text('{"mode": "auto", "max_steps": 500}')
    return home


def test_older_records_are_read_with_the_defaults_of_today(home: Home) -> None:
    record = open_site(home, "rep11").record
    assert (record.name, record.image, record.um_per_px) == ("rep11", None, None)
    assert load_policy(home) == Policy(mode="auto", max_steps=500)


@pytest.mark.parametrize(
    ("change", "what"), [({"format": 2}, "format 2"), ({"rotation": 90}, "the field rotation")], ids=["format", "field"]
)
def test_newer_record_is_refused_with_what_to_do(home: Home, change: dict[str, object], what: str) -> None:
    path = home.site("rep11") / "site.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadInput, match=f"has {what}, which this version of c2lst does not know; install the newer version"):
        open_site(home, "rep11")


def test_damaged_record_is_still_called_damaged(home: Home) -> None:
    path = home.site("rep11") / "site.json"
    for content in ("{", '{"format": "x", "name": "rep11", "organ": "mob", "spots": "/data"}', '{"format": 1}'):
        path.write_text(content)
        with pytest.raises(BadArtefact, match="is damaged"):
            SiteRecord.load(path)


def test_queue_of_a_newer_version_is_refused_and_unchanged(home: Home) -> None:
    home.rounds.mkdir()
    connection = sqlite3.connect(home.round_queue)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = home.round_queue.read_bytes()
    with pytest.raises(BadInput, match=r"newer version of c2lst \(version 2, and this one knows 1\); install that version"):
        JobQueue(home.round_queue).all()
    assert home.round_queue.read_bytes() == before
