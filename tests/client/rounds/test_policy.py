"""Without a word from the site every round waits; limits hold in every mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes.round_site import offer

from c2lst_client.home import Home
from c2lst_client.rounds.policy import Policy, change_policy, load_policy, may_run, objection
from c2lst_shared.errors import BadArtefact, BadInput

HERE = {"mob"}


def test_site_without_a_policy_asks(tmp_path):
    assert load_policy(Home(tmp_path)).mode == "ask"


@pytest.mark.parametrize(
    ("policy", "changes", "here", "reason"),
    [
        (Policy(), {}, HERE, None),
        (Policy(mode="auto"), {}, HERE, None),
        (Policy(mode="never"), {}, HERE, "never"),
        (Policy(mode="auto"), {}, set(), "no_spots"),
        (Policy(mode="auto", organs=("breast",)), {}, HERE, "organ"),
        (Policy(mode="auto", organs=()), {}, HERE, "organ"),
        (Policy(max_steps=100), {"steps": 100}, HERE, None),
        (Policy(max_steps=100), {"steps": 101}, HERE, "steps"),
        (Policy(max_hours=2), {"hours": 2.5}, HERE, "hours"),
        (Policy(mode="auto"), {"deadline": datetime.now(UTC) - timedelta(seconds=1)}, HERE, "deadline"),
    ],
)
def test_limits_are_reasons_to_decline(policy, changes, here, reason):
    assert objection(policy, offer(**changes), here, datetime.now(UTC).timestamp()) == reason


@pytest.mark.parametrize(
    ("window", "clock", "allowed"),
    [
        (None, "12:00", True),
        ("09:00-17:00", "08:59", False),
        ("09:00-17:00", "09:00", True),
        ("09:00-17:00", "17:00", False),
        ("20:00-06:00", "23:59", True),
        ("20:00-06:00", "05:59", True),
        ("20:00-06:00", "06:00", False),
        ("20:00-06:00", "12:00", False),
    ],
)
def test_window_may_go_over_midnight(window, clock, allowed):
    assert may_run(Policy(window=window), datetime.fromisoformat(f"2026-01-01T{clock}")) is allowed


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "yes"},
        {"min_spots": 9},
        {"window": "24:00-06:00"},
        {"withhold": ("everything",)},
        {"organs": ("../mob",)},
        {"fab_sha256": "abc"},
        {"export": "ask"},
        {"keep_rounds_days": -1},
        {"max_hours": -1.0},
        {"max_hours": float("nan")},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_a_policy_changes_nothing(tmp_path, changes):
    home = Home(tmp_path)
    change_policy(home, {"mode": "auto"})
    before = home.policy.read_bytes()
    with pytest.raises(BadInput, match="The policy cannot have"):
        change_policy(home, changes)
    assert home.policy.read_bytes() == before


def test_damaged_policy_is_not_taken_for_none(tmp_path):
    home = Home(tmp_path)
    home.policy.write_text("{")
    with pytest.raises(BadArtefact):
        load_policy(home)
