"""What pages gather: results of rounds, how roles stand, and what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fakes.central import Central
from fakes.lively_centre import result

from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import attention
from c2lst_server.dashboard.round_results import result_tables, withheld
from c2lst_server.db.models import ACTIVE, Site
from c2lst_server.publishing.roles import role_states
from c2lst_server.rounds import store

NOW = datetime.now(UTC)
ADA = AdministratorRecord(name="ada", scopes=list(Scope), added=NOW, expires=NOW + timedelta(days=60))


def items(central: Central, viewer: AdministratorRecord = ADA, *, least_free: int = 0, now: datetime = NOW) -> list[str]:
    with central.session() as session:
        return [item.sentence for item in attention.items(central.home, session, viewer, {}, least_free, now)]


def test_results_stand_side_by_side_and_what_was_withheld_is_said(central: Central) -> None:
    with central.session() as session:
        session.add_all(Site(name=name, state=ACTIVE, added=NOW, last_seen=NOW) for name in ("a", "b", "c"))
        session.commit()
        started = store.start(session, central.home, store.RoundPlan(organ="mob", sites=("a", "b", "c")))
        row = store.find(session, started.round_id)
        for site, seed in zip(row.sites, (1, 3, 6), strict=True):
            site.state, site.result = "finished", result(row.round_id, seed).model_dump_json()
        session.commit()
        view = store.show(session, started.round_id)
    tables = {table.name: table for table in result_tables(view)}
    assert [(each.site, each.tone) for each in tables["change"].rows] == [("a", "good"), ("c", "bad")]
    assert [each.site for each in tables["conditioning"].rows] == ["a", "b", "c"]
    assert tables["change"].rows[0].interval.endswith(" %")
    assert ("b", "change of that error", "the site's policy withholds it") in withheld(view)


def test_roles_tell_who_signed_and_warn_before_they_run_out(central: Central) -> None:
    roles = {role.role: role for role in role_states(central.home)}
    assert {name: (len(role.signed_by), role.threshold, role.state) for name, role in roles.items()} == {
        "root": (3, 2, "fresh"),
        "targets": (2, 2, "fresh"),
        "snapshot": (1, 1, "fresh"),
        "timestamp": (1, 1, "fresh"),
        "mob": (2, 2, "fresh"),
    }
    central.age_timestamp(days=5)
    assert {role.role for role in role_states(central.home) if role.state == "soon"} == {"timestamp"}
    states = {role.role: role.state for role in role_states(central.home, NOW + timedelta(days=80))}
    assert states == {"root": "fresh", "targets": "soon", "snapshot": "expired", "timestamp": "expired", "mob": "soon"}


def test_calm_centre_needs_nothing(central: Central) -> None:
    assert items(central) == []


def test_what_needs_attention_is_said_the_worst_first(central: Central, tmp_path: Path) -> None:
    central.invite(tmp_path / "file", name="hospital-new", now=NOW - timedelta(days=8))
    with central.session() as session:
        session.add(Site(name="quiet", state=ACTIVE, added=NOW, enrolled=NOW, last_seen=NOW - timedelta(days=9)))
        session.commit()
        started = store.start(session, central.home, store.RoundPlan(organ="mob", sites=("quiet",)))
        (site,) = store.find(session, started.round_id).sites
        site.state, site.error = "failed", "disk"
        session.commit()
    central.age_timestamp(days=8)
    found = items(central, least_free=1 << 60)
    assert found[0] == "What the role timestamp signed has run out: sites refuse it since"
    assert found[1] == "The round on mob/1 failed at quiet."
    assert any(" are free on the disk of the releases and trainings." in each for each in found)
    assert "Nothing was heard for a week or longer of quiet." in found
    assert "The enrolment file of hospital-new ran out before it was used; make a new one." in found


def test_nobody_is_told_what_they_may_not_see(central: Central) -> None:
    with central.session() as session:
        session.add(Site(name="quiet", state=ACTIVE, added=NOW, enrolled=NOW, last_seen=NOW - timedelta(days=9)))
        session.commit()
    assert items(central) != []
    assert items(central, ADA.model_copy(update={"scopes": [Scope.READ_TRAININGS]})) == []


def test_token_that_ends_soon_is_spoken_of_in_time(central: Central) -> None:
    soon = ADA.model_copy(update={"expires": NOW + timedelta(days=3)})
    assert items(central, soon)[0].startswith("Your own token ends soon; make a new one")
