"""Pages about rounds: start them, see how they stand at each site and what came of them, and give them up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError

from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.overview import LinksDep
from c2lst_server.dashboard.paging import Offset, paged
from c2lst_server.dashboard.round_results import result_tables, withheld
from c2lst_server.dashboard.viewer import PageRoute, sender_with, viewer_with
from c2lst_server.db.models import ACTIVE
from c2lst_server.deps import HomeDep, SessionDep
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.rounds import store
from c2lst_server.rounds.store import RoundPlan
from c2lst_server.sites import registry
from c2lst_shared.errors import BadInput
from c2lst_shared.release.targets import split_release

router = APIRouter(prefix=pages.ROUNDS.address, route_class=PageRoute, include_in_schema=False)

MOST_SITES = 500  # that the form offers; more are named on the command line
Reader = Annotated[AdministratorRecord, Depends(viewer_with(Scope.READ_ROUNDS))]
Writer = Annotated[AdministratorRecord, Depends(viewer_with(Scope.WRITE_ROUNDS))]
Sender = Annotated[AdministratorRecord, Depends(sender_with(Scope.WRITE_ROUNDS))]
Round = Annotated[str, Path(max_length=16)]
Text = Annotated[str, Form(max_length=64)]
DEFAULTS = {
    "steps": "",
    "genes": "",
    "fraction": "0.25",
    "split": "random",
    "seed": "0",
    "hours": "24",
    "deadline_hours": "72",
    "measure": "both",
}
MEASURES = {"both": (True, True), "evaluate": (True, False), "cotrain": (False, True), "none": (False, False)}
LABELS = {
    "fraction": "share of the spots",
    "seed": "seed",
    "genes": "number of genes",
    "steps": "number of steps",
    "hours": "hours of compute",
    "deadline_hours": "hours until the deadline",
    "release": "release",
    "split": "split",
}


@router.get("")
def list_rounds(request: Request, session: SessionDep, viewer: Reader, offset: Offset = 0) -> Response:
    """List rounds, the newest first."""
    shown = paged("rounds", lambda limit, offset: store.list_rounds(session, limit=limit, offset=offset), offset)
    return pages.show(request, viewer, pages.ROUNDS, "rounds.html.j2", live=True, **shown)


@router.get("/new")
def show_form(
    request: Request,
    session: SessionDep,
    home: HomeDep,
    links: LinksDep,
    viewer: Writer,
    release: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Show the form for a new round."""
    return _form(request, session, home, viewer, links.online, {**DEFAULTS, "release": release}, [])


@router.post("/new")
def start_round(
    request: Request,
    session: SessionDep,
    home: HomeDep,
    links: LinksDep,
    viewer: Sender,
    sites: Annotated[list[str] | None, Form(max_length=MOST_SITES)] = None,
    release: Text = "",
    fraction: Text = "",
    split: Text = "",
    seed: Text = "",
    genes: Text = "",
    steps: Text = "",
    measure: Text = "both",
    hours: Text = "",
    deadline_hours: Text = "",
) -> Response:
    """Offer work to the sites that were chosen."""
    given = {"release": release, "fraction": fraction, "split": split, "seed": seed, "genes": genes, "steps": steps}
    given = {name: value.strip() for name, value in (given | {"hours": hours, "deadline_hours": deadline_hours}).items()}
    chosen = sites or []
    try:
        started = store.start(session, home, _plan(given, measure, chosen))
    except ValidationError as error:
        first = error.errors()[0]
        sentence = f"The {LABELS.get(str(first['loc'][0]), 'form')} cannot be used ({first['msg']})."
        return _form(request, session, home, viewer, links.online, given | {"measure": measure}, chosen, sentence)
    except BadInput as error:
        return _form(request, session, home, viewer, links.online, given | {"measure": measure}, chosen, str(error))
    sentence = f"The round is offered to {len(started.sites)} site{'s' * (len(started.sites) > 1)}."
    return pages.done(request, f"{pages.ROUNDS.address}/{started.round_id}", sentence)


@router.get("/{round_id}")
def show_round(request: Request, session: SessionDep, viewer: Reader, round_id: Round) -> Response:
    """Show how a round stands at each site, and what the sites sent."""
    found = store.show(session, round_id)
    return pages.show(
        request,
        viewer,
        pages.ROUNDS,
        "round.html.j2",
        live=True,
        round=found,
        tables=result_tables(found),
        results=[(site.site, site.result) for site in found.sites if site.result is not None],
        withheld=withheld(found),
    )


@router.get("/{round_id}/cancel")
def confirm_cancel(request: Request, session: SessionDep, viewer: Writer, round_id: Round) -> Response:
    """Ask before a round is given up."""
    found = store.show(session, round_id)
    return pages.show(request, viewer, pages.ROUNDS, "round_cancel.html.j2", round=found)


@router.post("/{round_id}/cancel")
def cancel_round(request: Request, session: SessionDep, viewer: Sender, round_id: Round) -> Response:
    """Give a round up."""
    found = store.cancel(session, round_id)
    sentence = "The round is being cancelled: sites that work on it stop, those that are away are told when they are back."
    return pages.done(request, f"{pages.ROUNDS.address}/{found.round_id}", sentence)


def _plan(given: dict[str, str], measure: str, sites: list[str]) -> RoundPlan:
    """Return the plan that the form describes.

    Raises:
        ValidationError: a field is no number.
        BadInput: there is no such release, or no such measurement.
    """
    organ, number = split_release(given["release"])
    if measure not in MEASURES:
        raise BadInput(f"There is no measurement {measure!r}; choose one of the list.")
    evaluate, cotrain = MEASURES[measure]
    fields = {name: value for name, value in given.items() if value and name != "release"}
    return RoundPlan.model_validate(
        fields | {"organ": organ, "release": number, "sites": tuple(sites), "evaluate": evaluate, "cotrain": cotrain}
    )


def _form(
    request: Request,
    session: SessionDep,
    home: Home,
    viewer: AdministratorRecord,
    online: frozenset[str] | None,
    given: dict[str, str],
    chosen: list[str],
    refusal: str = "",
) -> Response:
    releases = [each.name for each in read_catalogue(home).releases][::-1]
    active = [each.name for each in registry.list_sites(session) if each.state == ACTIVE]
    return pages.show(
        request,
        viewer,
        pages.ROUNDS,
        "round_form.html.j2",
        status=422 if refusal else 200,
        given=given,
        chosen=chosen,
        refusal=refusal,
        releases=releases,
        sites=active[:MOST_SITES],
        more_sites=max(0, len(active) - MOST_SITES),
        online=online,
    )
