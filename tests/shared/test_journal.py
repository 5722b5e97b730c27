"""The journal adds up what a step cost over its runs, and starts anew with other inputs."""

import pytest

from c2lst_shared.journal import Entry, read, recorded


def only_entry(folder) -> Entry:
    (entry,) = read(folder).entries
    return entry


def test_stopped_and_resumed_step_shows_its_whole_cost(tmp_path):
    with pytest.raises(KeyboardInterrupt), recorded("adapt", tmp_path, belongs_to="a"):
        raise KeyboardInterrupt
    first = only_entry(tmp_path)
    with recorded("adapt", tmp_path, belongs_to="a"):
        sum(range(100_000))
    second = only_entry(tmp_path)
    assert second.seconds > first.seconds > 0
    assert second.peak_rss_mib >= first.peak_rss_mib > 1


def test_other_inputs_start_a_new_entry(tmp_path):
    with recorded("adapt", tmp_path, belongs_to="a"):
        sum(range(1_000_000))
    before = only_entry(tmp_path)
    with recorded("adapt", tmp_path, belongs_to="b"):
        pass
    after = only_entry(tmp_path)
    assert after.belongs_to == "b"
    assert after.seconds < before.seconds


def test_steps_keep_their_order(tmp_path):
    for step in ("pull", "adapt", "pull"):
        with recorded(step, tmp_path):
            pass
    assert [entry.step for entry in read(tmp_path).entries] == ["pull", "adapt"]


def test_folder_without_journal_is_empty(tmp_path):
    assert read(tmp_path).entries == []
