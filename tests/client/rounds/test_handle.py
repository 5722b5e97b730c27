"""What the site answers, by its policy; every answer is a model of `wire` and is in the audit log before it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from fakes.round_site import ROUND, RoundSite, offer
from fakes.small_site import SmallSite
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst_client.audit import AuditLog, read_entries, verify_chain
from c2lst_client.home import Home
from c2lst_client.rounds.approval import approve
from c2lst_client.rounds.gate import let_out
from c2lst_client.rounds.handle import handle
from c2lst_client.rounds.policy import change_policy
from c2lst_client.sites import add_site
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.wire import (
    Cancel,
    QueryStatus,
    RoundRefusal,
    RoundResult,
    RoundStatus,
    WireMessage,
    parse_answer,
)


@pytest.fixture
def site(tmp_path):
    return RoundSite(tmp_path, mode="ask")


def ask(home: Home, request):
    return parse_answer(handle(home, request.body()))


def test_offer_waits_for_approval_and_then_its_turn(site):
    assert ask(site.home, offer()) == RoundStatus(round_id=ROUND, state="waiting")
    assert approve(site.home, ROUND).slide == "demo"
    assert ask(site.home, QueryStatus(round_id=ROUND)).state == "queued"


def test_offer_is_queued_at_once_where_the_policy_says_auto(site):
    change_policy(site.home, {"mode": "auto"})
    assert ask(site.home, offer()).state == "queued"


def test_declined_by_a_person_is_said_without_their_words(site):
    ask(site.home, offer())
    site.queue.decline(ROUND)
    assert ask(site.home, offer()) == RoundStatus(round_id=ROUND, state="declined", reason="person")


@pytest.mark.parametrize(
    ("changes", "offered", "reason"),
    [
        ({"mode": "never"}, {}, "never"),
        ({"organs": ["breast"]}, {}, "organ"),
        ({"max_steps": 5}, {}, "steps"),
        ({"max_hours": 0.5}, {}, "hours"),
        ({}, {"organ": "breast"}, "no_spots"),
        ({}, {"deadline": datetime.now(UTC) - timedelta(hours=1)}, "deadline"),
    ],
)
def test_offer_beyond_the_policy_is_declined_and_cannot_be_approved(site, changes, offered, reason):
    change_policy(site.home, changes)
    assert ask(site.home, offer(**offered)) == RoundStatus(round_id=ROUND, state="declined", reason=reason)
    with pytest.raises(BadInput, match="is declined and does not wait"):
        approve(site.home, ROUND)


def test_policy_that_changed_while_a_round_waited_holds(site):
    ask(site.home, offer())
    change_policy(site.home, {"max_steps": 5})
    with pytest.raises(BadInput, match="The policy forbids round 0123456789abcdef \\(steps\\)"):
        approve(site.home, ROUND)


def test_where_there_are_several_slides_somebody_chooses(site, tmp_path):
    add_site(site.home, "second", organ="mob", spots=SmallSite(name="S2").write_legacy(tmp_path / "more"))
    change_policy(site.home, {"mode": "auto"})
    assert ask(site.home, offer()).state == "waiting"
    with pytest.raises(BadInput, match="--site with one of demo, second"):
        approve(site.home, ROUND)
    with pytest.raises(BadInput, match="--site with one of demo, second"):
        approve(site.home, ROUND, "third")
    assert approve(site.home, ROUND, "second").slide == "second"


def test_status_of_a_round_that_is_not_here_is_unknown_and_leaves_no_row(site):
    assert ask(site.home, QueryStatus(round_id=ROUND)).state == "unknown"
    assert site.queue.all() == []


def test_cancel_comes_before_the_offer(site):
    assert ask(site.home, Cancel(round_id=ROUND)).state == "cancelled"
    assert ask(site.home, offer()).state == "cancelled"


def test_result_is_sent_by_the_policy_of_the_day(site):
    change_policy(site.home, {"mode": "auto"})
    ask(site.home, offer())
    site.leases.claim("worker")
    site.leases.finish(ROUND, "worker", RoundResult(round_id=ROUND, train_spots=20, held_out_spots=29, genes=6, seconds=9))
    assert ask(site.home, QueryStatus(round_id=ROUND)).seconds == 9
    change_policy(site.home, {"withhold": ["seconds", "genes"]})
    answer = ask(site.home, offer())
    assert isinstance(answer, RoundResult)
    assert (answer.seconds, answer.genes, answer.train_spots) == (None, None, 20)
    assert {each.metric: each.reason for each in answer.withheld} == {"seconds": "policy", "genes": "policy"}


def test_every_answer_is_in_the_audit_log_with_its_content(site):
    requests = [offer().body(), QueryStatus(round_id=ROUND).body(), b"nonsense"]
    answers = [handle(site.home, request) for request in requests]
    entries = read_entries(site.home.audit_log)
    assert verify_chain(site.home.audit_log) == 3
    assert [entry.content for entry in entries] == [json.loads(answer) for answer in answers]
    assert [(entry.kind, entry.method, entry.message) for entry in entries] == [
        ("round", "offer", "RoundStatus"),
        ("round", "status", "RoundStatus"),
        ("round", "unknown", "RoundRefusal"),
    ]
    assert [(entry.bytes_in, entry.bytes_out) for entry in entries] == [
        (len(request), len(answer)) for request, answer in zip(requests, answers, strict=True)
    ]


def test_what_cannot_be_written_down_does_not_leave(site):
    site.home.audit_log.write_bytes(b"a line that was cut")
    assert handle(site.home, offer().body()) == b""


@pytest.mark.parametrize("spoil", ["policy", "queue", "slide"])
def test_error_leaves_as_a_code(site, spoil):
    secret = b"MRN-4711"
    path = {"policy": site.home.policy, "queue": site.home.round_queue, "slide": site.home.site("demo") / "site.json"}[spoil]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{ " + secret * 300)
    answer = handle(site.home, offer().body())
    assert parse_answer(answer) == RoundRefusal(code="internal")
    assert secret not in answer + site.home.audit_log.read_bytes()


@pytest.fixture(scope="module")
def any_site(tmp_path_factory):
    return RoundSite(tmp_path_factory.mktemp("any"), mode="ask")


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(st.text(max_size=8), st.text(max_size=40)).map(lambda d: json.dumps(d).encode()),
    )
)
def test_any_bytes_are_answered_with_a_refusal(any_site, sent):
    assert parse_answer(handle(any_site.home, sent)) == RoundRefusal(code="not_understood")


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"fraction": 1.0},
        {"round_id": "../../etc/passwd"},
        {"release": "mob/1; rm -rf /"},
        {"note": "a field that this version does not know"},
        {"format": 2},
        {"ratios": []},
        {"hours": "NaN"},
    ],
)
def test_request_beyond_its_bounds_is_not_understood(site, changes):
    body = json.dumps(json.loads(offer().body()) | changes).encode()
    assert parse_answer(handle(site.home, body)) == RoundRefusal(code="not_understood")
    assert site.queue.all() == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(RoundStatus.model_construct(kind="status", round_id="MRN-4711", state="queued"), id="another identifier"),
        pytest.param(RoundStatus.model_construct(kind="status", round_id=ROUND, state="Traceback"), id="another word"),
        pytest.param(RoundResult.model_construct(kind="result", round_id=ROUND, seconds=10**12), id="a number out of bounds"),
        pytest.param(RoundResult(round_id=ROUND).model_copy(update={"genes": "Pcp4"}), id="text for a number"),
        pytest.param(
            RoundResult(round_id=ROUND).model_copy(update={"denoising_loss": {"value": 0.123456789, "low": 0, "high": 1}}),
            id="more digits than are measured",
        ),
        pytest.param(WireMessage.model_construct(), id="a message of another kind"),
    ],
)
def test_gate_lets_nothing_else_out(tmp_path, answer):
    log = AuditLog(tmp_path / "audit.log")
    with pytest.raises(BadArtefact, match="kept back"):
        let_out(answer, log, asked="status", received=1)
    assert not (tmp_path / "audit.log").exists()


@pytest.mark.parametrize("module", ["rounds.handle", "rounds.worker", "cli.rounds"])
def test_what_waits_for_rounds_is_light(module):
    heavy = "{'torch', 'diffusers', 'sklearn', 'anndata'}"
    code = f"import sys, c2lst_client.{module}; sys.exit(str({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
