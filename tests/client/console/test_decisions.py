"""What the buttons of the console do, and what they refuse."""

from __future__ import annotations

import pytest
from fakes.console_site import FINISHED, QUEUED, RUNNING, WAITING, add_slide
from fakes.signed_in_at_console import AtConsole

from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import Policy, change_policy, load_policy
from c2lst_client.rounds.queue_database import Job

FORM: dict[str, object] = {
    "mode": "ask",
    "max_steps": "20000",
    "max_hours": "48",
    "organs": "",
    "opens": "",
    "closes": "",
    "min_spots": "10",
    "export": "allow",
    "keep_rounds_days": "30",
}


def job(at: AtConsole, round_id: str) -> Job:
    found = JobQueue(at.home.round_queue).find(round_id)
    assert found is not None
    return found


def test_approve(at: AtConsole) -> None:
    assert "Let this round run?" in at.page(f"/rounds/{WAITING}/approve")
    assert job(at, WAITING).state == "waiting"  # asking does nothing
    assert "Approved." in at.done(f"/rounds/{WAITING}/approve", slide="rep11")
    assert (job(at, WAITING).state, job(at, WAITING).slide) == ("queued", "rep11")
    assert "does not wait for a decision" in at.done(f"/rounds/{WAITING}/approve", slide="rep11")


def test_approve_chooses_one_of_several_slides(at: AtConsole) -> None:
    add_slide(at.home, "rep12")
    assert 'value="rep12"' in at.page(f"/rounds/{WAITING}/approve")
    at.done(f"/rounds/{WAITING}/approve", slide="rep12")
    assert job(at, WAITING).slide == "rep12"


@pytest.mark.parametrize("slide", ["none", "../rep11", "<b>"])
def test_approve_on_a_slide_that_is_not_there_does_nothing(at: AtConsole, slide: str) -> None:
    assert "Say on which slide" in at.done(f"/rounds/{WAITING}/approve", slide=slide)
    assert job(at, WAITING).state == "waiting"


def test_round_beyond_the_policy_cannot_be_approved(at: AtConsole) -> None:
    change_policy(at.home, {"max_steps": 100})
    page = at.page(f"/rounds/{WAITING}")
    assert "it asks for more steps than the policy allows" in page
    assert f"/rounds/{WAITING}/approve" not in page
    assert "does not let it run" in at.page(f"/rounds/{WAITING}/approve")
    assert "The policy forbids" in at.done(f"/rounds/{WAITING}/approve", slide="rep11")
    assert job(at, WAITING).state == "waiting"


def test_decline(at: AtConsole) -> None:
    assert "Declined." in at.done(f"/rounds/{WAITING}/decline")
    assert (job(at, WAITING).state, job(at, WAITING).reason) == ("declined", "person")
    assert "does not wait for a decision" in at.done(f"/rounds/{WAITING}/decline")


def test_cancel(at: AtConsole) -> None:
    assert "Asked to stop" in at.done(f"/rounds/{RUNNING}/cancel")
    assert job(at, RUNNING).cancel
    assert "is being stopped" in at.page("/rounds")
    assert "Cancelled." in at.done(f"/rounds/{QUEUED}/cancel")
    assert job(at, QUEUED).state == "cancelled"
    assert "nothing to stop" in at.done(f"/rounds/{FINISHED}/cancel")
    assert job(at, FINISHED).state == "finished"


def test_round_that_is_not_there_is_not_made_by_cancelling_it(at: AtConsole) -> None:
    assert at.send(f"/rounds/{'1' * 16}/cancel").status_code == 404
    assert JobQueue(at.home.round_queue).find("1" * 16) is None


def test_policy_is_changed_as_a_whole(at: AtConsole) -> None:
    change_policy(at.home, {"fab_sha256": "ab" * 32})
    changes = {
        "mode": "auto",
        "max_steps": "5000",
        "max_hours": "2.5",
        "organs": "mob, breast",
        "opens": "20:00",
        "closes": "06:00",
        "withhold": ["seconds", "mae"],
        "min_spots": "25",
        "export": "never",
        "keep_rounds_days": "7",
    }
    page = at.done("/policy", **changes)
    assert "Saved." in page
    assert "window is now: 20:00-06:00" in page
    assert load_policy(at.home) == Policy(
        mode="auto",
        max_steps=5000,
        max_hours=2.5,
        organs=("mob", "breast"),
        window="20:00-06:00",
        withhold=("seconds", "mae"),
        min_spots=25,
        export="never",
        keep_rounds_days=7,
        fab_sha256="ab" * 32,  # what the form does not have stays
    )
    assert 'value="seconds" checked' in page
    assert "Nothing was changed" in at.done("/policy", **changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_spots", "9"),
        ("max_steps", "0"),
        ("max_steps", "many"),
        ("max_hours", "nan"),
        ("mode", "yes"),
        ("opens", "20:00"),
        ("organs", "<b>"),
        ("withhold", "everything"),
        ("export", ""),
    ],
)
def test_policy_that_cannot_be_had_is_refused_and_what_was_typed_stays(at: AtConsole, field: str, value: str) -> None:
    before = load_policy(at.home)
    answer = at.send("/policy", **(FORM | {"keep_rounds_days": "99", field: value}))
    assert answer.status_code == 422
    assert "The policy cannot have" in answer.text
    assert 'value="99"' in answer.text
    assert load_policy(at.home) == before
