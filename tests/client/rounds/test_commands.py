"""What hospital IT types: decide about rounds, set the policy, see what left."""

from __future__ import annotations

import json
import sys

import pytest
from fakes.round_site import ROUND, RoundSite, offer

from c2lst_client.cli import main
from c2lst_client.rounds.handle import handle
from c2lst_client.rounds.policy import load_policy
from c2lst_shared.wire import RoundResult


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = RoundSite(tmp_path, mode="ask")
    monkeypatch.setenv("C2LST_HOME", str(made.home.path))
    return made


@pytest.fixture
def client(monkeypatch, capsys):
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["c2lst-client", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_round_is_listed_shown_and_approved(site, client):
    assert client("rounds", "list")[1] == "No round was offered yet.\n"
    handle(site.home, offer().body())
    assert client("rounds", "list")[1].startswith(f"{ROUND}  waiting")
    assert f"Round {ROUND} waits for approval" in client("status")[1]
    shown = client("rounds", "show", ROUND[:4])[1]
    assert "Slide     demo" in shown
    assert f"Next: c2lst-client rounds approve {ROUND}" in shown
    assert client("rounds", "approve", ROUND)[1] == f"Round {ROUND} is queued; the worker takes it up in its turn.\n"
    code, _, error = client("rounds", "decline", ROUND)
    assert (code, error) == (2, f"Error: Round {ROUND} is queued and does not wait for a decision.\n")
    (listed,) = json.loads(client("rounds", "list", "--json")[1])
    assert (listed["state"], listed["offer"]["steps"]) == ("queued", 6)
    assert client("rounds", "cancel", ROUND)[1] == f"Round {ROUND} is cancelled.\n"


def test_unknown_round_is_one_sentence(site, client):
    for word in ("show", "approve", "decline", "cancel"):
        assert client("rounds", word, "abc") == (2, "", "Error: 'abc' names no round; the rounds are: none yet.\n")


def test_result_is_shown_as_it_is_sent(site, client):
    client("policy", "set", "--mode", "auto", "--withhold", "genes")
    handle(site.home, offer().body())
    site.leases.claim("worker")
    site.leases.finish(ROUND, "worker", RoundResult(round_id=ROUND, genes=6, seconds=9))
    shown = json.loads(client("rounds", "show", ROUND, "--json")[1])
    assert (shown["sent"]["genes"], shown["sent"]["seconds"]) == (None, 9)


def test_policy_is_set_field_by_field(site, client):
    client("policy", "set", "--mode", "auto", "--organs", "mob, breast", "--window", "20:00-06:00", "--withhold", "mae,change")
    client("policy", "set", "--max-hours", "8")
    policy = load_policy(site.home)
    assert (policy.mode, policy.organs, policy.window, policy.withhold) == (
        "auto",
        ("mob", "breast"),
        "20:00-06:00",
        ("mae", "change"),
    )
    assert policy.max_hours == 8
    shown = client("policy", "set", "--organs", "all", "--window", "always", "--withhold", "nothing")[1]
    assert "organs           all that there are spots of" in shown
    assert json.loads(client("policy", "show", "--json")[1])["window"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--withhold", "everything"), "The policy cannot have withhold.0 = 'everything': "),
        (("--min-spots", "3"), "The policy cannot have min_spots = 3: "),
        (("--window", "late"), "The policy cannot have window = 'late': "),
    ],
)
def test_policy_that_cannot_be_is_one_sentence(site, client, words, sentence):
    code, out, error = client("policy", "set", *words)
    assert (code, out) == (2, "")
    assert error.startswith(f"Error: {sentence}")
    assert len(error.splitlines()) == 1


def test_audit_log_is_shown_and_verified(site, client):
    handle(site.home, offer().body())
    handle(site.home, b"nonsense")
    shown = client("audit", "show")[1].splitlines()
    assert len(shown) == 2
    assert "offer    /v1/fleet  RoundStatus" in shown[0]
    assert '"state":"waiting"' in shown[0]
    assert json.loads(client("audit", "show", "--last", "1", "--json")[1])["message"] == "RoundRefusal"
    code, out, _ = client("audit", "verify")
    assert (code, "2 lines, none changed" in out) == (0, True)
    log = site.home.audit_log
    log.write_bytes(log.read_bytes().replace(b"waiting", b"running"))
    code, out, error = client("audit", "verify")
    assert (code, out) == (3, "")
    assert "was changed at line 2" in error


def test_worker_with_nothing_to_do_ends_when_asked_for_once(site, client):
    assert client("worker", "--once")[1] == "Took up 0 rounds.\n"


def test_old_rounds_are_cleaned_on_request_and_their_results_stay(site, client):
    client("policy", "set", "--mode", "auto", "--keep-rounds-days", "7")
    handle(site.home, offer().body())
    site.leases.claim("worker")
    site.leases.finish(ROUND, "worker", RoundResult(round_id=ROUND, genes=6))
    folder = site.home.round(ROUND)
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * 200_000)
    assert client("rounds", "clean")[1] == "No folder of a round that has been over for 7 days or more.\n"
    assert "0.2 MB would be removed" in client("rounds", "clean", "--days", "0", "--dry-run")[1]
    assert folder.is_dir()
    (cleaned,) = json.loads(client("rounds", "clean", "--days", "0", "--json")[1])
    assert cleaned == {"round_id": ROUND, "state": "finished", "bytes": 200_000}
    assert not folder.exists()
    shown = client("rounds", "show", ROUND)[1]
    assert '"genes": 6' in shown
    assert shown.splitlines()[-1] == "Everything else was removed (rounds clean)."
