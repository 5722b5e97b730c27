"""What the operator types about rounds: one sentence and exit code 2 for what cannot be, and JSON for scripts."""

from __future__ import annotations

import json
import sys
import threading

import pytest
from fakes.central import Central
from fakes.round_transport import Wire
from sqlalchemy.orm import Session

from c2lst_server.cli import main
from c2lst_server.db.models import SUSPENDED, Site
from c2lst_server.rounds import store
from c2lst_server.rounds.courier import Pace
from c2lst_server.rounds.drive import drive
from c2lst_shared.wire import (
    ArmResult,
    ChangeEstimate,
    CorrelationEstimate,
    LossEstimate,
    RoundResult,
    RoundStatus,
    Withheld,
    parse_request,
)


@pytest.fixture
def at_home(central: Central, monkeypatch: pytest.MonkeyPatch) -> Central:
    monkeypatch.setenv("C2LST_SERVER_HOME", str(central.home.path))
    monkeypatch.setenv("C2LST_SERVER_DATABASE_URL", central.settings.database)
    return central


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["c2lst-server", "rounds", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--organ", "mob", "--sites", "a,nobody"), "There is no site 'nobody'; `c2lst-server sites list` shows the sites."),
        (("--organ", "mob", "--sites", "a,../x"), "There is no site '../x'; `c2lst-server sites list` shows the sites."),
        (("--organ", "mob", "--sites", ""), "A round needs at least one site; pass --sites with names of"),
        (("--organ", "mob", "--sites", " , "), "A round needs at least one site; pass --sites with names of"),
        (("--organ", "mob", "--sites", "a,b,a"), "Site 'a' is named twice; name each site once."),
        (("--organ", "liver", "--sites", "a"), "There is no release for organ 'liver'; there are releases for: mob."),
        (("--organ", "../x", "--sites", "a"), "There is no release for organ '../x'; there are releases for: mob."),
        (("--organ", "mob", "--sites", "a", "--release", "9"), "There is no release mob/9."),
        (("--organ", "mob", "--sites", "a", "--hours", "-1"), "A round cannot have hours = -1.0: "),
        (("--organ", "mob", "--sites", "a", "--steps", "100000000"), "A round cannot have steps = 100000000: "),
        (("--organ", "mob", "--sites", "a", "--deadline-hours", "1e300"), "A round cannot have that deadline."),
    ],
)
def test_what_cannot_be_is_one_sentence(
    at_home: Central,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    assert run(monkeypatch, "start", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"Error: {sentence}")
    assert len(said.err.splitlines()) == 1
    assert run(monkeypatch, "list") == 0
    assert capsys.readouterr().out == "No round yet.\n"


def test_suspended_site_is_not_asked(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_home.session() as session:
        session.query(Site).filter_by(name="b").one().state = SUSPENDED
        session.commit()
    assert run(monkeypatch, "start", "--organ", "mob", "--sites", "a,b") == 2
    assert "Site 'b' is suspended and takes part in no round" in capsys.readouterr().err


def test_dry_run_offers_nothing(at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "start", "--organ", "mob", "--sites", "a", "--fraction", "0.5", "--dry-run") == 0
    said = capsys.readouterr()
    offer = json.loads(said.out)
    assert (offer["release"], offer["fraction"]) == (1, 0.5)
    assert offer["steps"] > 0
    assert "nothing was" in said.err
    assert run(monkeypatch, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_round_is_started_shown_followed_and_cancelled(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "start", "--organ", "mob", "--sites", "b, a", "--steps", "7", "--json") == 0
    started = json.loads(capsys.readouterr().out)
    assert [site["site"] for site in started["sites"]] == ["a", "b"]
    assert started["offer"]["steps"] == 7
    round_id = started["round_id"]
    assert run(monkeypatch, "show", round_id[:6]) == 0
    assert "  a  not reached yet\n  b  not reached yet\n" in capsys.readouterr().out
    assert run(monkeypatch, "cancel", round_id) == 0
    drive(
        at_home.settings,
        round_id,
        Wire(dict.fromkeys("ab", lambda body: RoundStatus(round_id=round_id, state="cancelled").body())),
        lambda: False,
        pace=Pace(between=0),
    )
    capsys.readouterr()
    assert run(monkeypatch, "show", round_id, "--watch") == 0
    assert "cancelled, 0 of 2 sites finished" in capsys.readouterr().out
    assert run(monkeypatch, "cancel", round_id) == 2
    assert "is over, so there is nothing to cancel" in capsys.readouterr().err


def test_watch_follows_a_round_to_its_end(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("c2lst_server.cli.watching.WATCH_SECONDS", 0.05)
    assert run(monkeypatch, "start", "--organ", "mob", "--sites", "a", "--json") == 0
    round_id = json.loads(capsys.readouterr().out)["round_id"]
    script = iter(["waiting", "queued"])
    looked = threading.Event()

    def look(session: Session, wanted: str) -> store.RoundView:
        found = show(session, wanted)
        looked.set()
        return found

    show = store.show
    monkeypatch.setattr(store, "show", look)

    def answer(body: bytes) -> bytes:
        for _ in range(2):  # the watcher has looked since, and has said what it saw when it looks again
            looked.clear()
            assert looked.wait(60)
        state = next(script, None)
        said = RoundStatus.model_validate({"round_id": round_id, "state": state}) if state else RoundResult(round_id=round_id)
        return said.body()

    pace = Pace(between=0, running=0, resting=0, silent=0)
    driving = threading.Thread(
        target=drive, args=(at_home.settings, round_id, Wire({"a": answer}), lambda: False), kwargs={"pace": pace}
    )
    driving.start()
    assert run(monkeypatch, "show", round_id, "--watch") == 0
    driving.join()
    shown = capsys.readouterr().out
    places = [shown.find(f"  a  {words}") for words in ("not reached yet", "waiting for approval", "queued", "finished")]
    assert -1 not in places
    assert places == sorted(places)


def test_result_is_shown_with_what_was_withheld(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "start", "--organ", "mob", "--sites", "a", "--json") == 0
    round_id = json.loads(capsys.readouterr().out)["round_id"]

    def answer(body: bytes) -> bytes:
        return RoundResult(
            round_id=parse_request(body).round_id,
            train_spots=65,
            held_out_spots=197,
            genes=250,
            denoising_loss=LossEstimate(value=0.0213, low=0.02, high=0.0226),
            conditioning_r=CorrelationEstimate(value=0.79, low=0.7, high=0.85),
            arms=(
                ArmResult(
                    kind="real+synthetic",
                    ratio=5,
                    seeds=3,
                    mae=LossEstimate(value=0.831, low=0.8, high=0.86),
                    change=ChangeEstimate(value=-0.02, low=-0.03, high=-0.01),
                ),
            ),
            withheld=(Withheld(metric="concordance", reason="policy"),),
        ).body()

    drive(at_home.settings, round_id, Wire({"a": answer}), lambda: False, pace=Pace(between=0))
    assert run(monkeypatch, "show", round_id) == 0
    shown = capsys.readouterr().out
    assert "a, 65 training and 197 held-out spots, 250 genes" in shown
    assert "real + synthetic x5                    MAE 0.831 [0.8, 0.86]  change -0.02 [-0.03, -0.01]" in shown
    assert "withheld: concordance (policy)" in shown
    assert run(monkeypatch, "show", round_id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sites"][0]["result"]["conditioning_r"]["value"] == 0.79


def test_unknown_round_names_those_that_there_are(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("show", "cancel"):
        assert run(monkeypatch, word, "f00") == 2
        assert "'f00' names no round; the rounds are: none yet." in capsys.readouterr().err
