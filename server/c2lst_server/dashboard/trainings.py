"""Pages about trainings: queue, see, stop and resume them, and how to publish what they made."""

from __future__ import annotations

import shlex
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy import select

from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.paging import Offset, paged
from c2lst_server.dashboard.viewer import PageRoute, sender_with, viewer_with
from c2lst_server.db.models import Release
from c2lst_server.deps import HomeDep, SessionDep, SettingsDep
from c2lst_server.errors import NotThere
from c2lst_server.runs import sample_grids
from c2lst_server.settings import Settings
from c2lst_server.trainings import store
from c2lst_server.trainings.images import image_folders
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import PRESETS
from c2lst_shared.web.charts import line_chart

router = APIRouter(prefix=pages.TRAININGS.address, route_class=PageRoute, include_in_schema=False)

GRIDS = 5  # sample grids that are shown
Reader = Annotated[AdministratorRecord, Depends(viewer_with(Scope.READ_TRAININGS))]
Writer = Annotated[AdministratorRecord, Depends(viewer_with(Scope.WRITE_TRAININGS))]
Sender = Annotated[AdministratorRecord, Depends(sender_with(Scope.WRITE_TRAININGS))]
Training = Annotated[str, Path(max_length=64)]
Text = Annotated[str, Form(max_length=64)]


@router.get("")
def list_trainings(request: Request, session: SessionDep, viewer: Reader, offset: Offset = 0) -> Response:
    """List trainings, the newest first."""
    shown = paged("trainings", lambda limit, offset: store.list_trainings(session, limit=limit, offset=offset), offset)
    return pages.show(request, viewer, pages.TRAININGS, "trainings.html.j2", live=True, **shown)


@router.get("/new")
def show_form(request: Request, settings: SettingsDep, viewer: Writer) -> Response:
    """Show the form for a new training."""
    return _form(request, viewer, settings, {"preset": "small"})


@router.post("/new")
def queue_training(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    viewer: Sender,
    organ: Text = "",
    images: Text = "",
    preset: Text = "",
    run: Text = "",
    um_per_px: Text = "",
    steps: Text = "",
    seed: Text = "",
) -> Response:
    """Queue a training."""
    given = {"organ": organ, "images": images, "preset": preset, "run": run, "um_per_px": um_per_px}
    given = {name: value.strip() for name, value in (given | {"steps": steps, "seed": seed}).items()}
    try:
        plan = TrainingPlan.model_validate({name: value for name, value in given.items() if value})
        queued = store.queue(session, settings, plan)
    except ValidationError as error:
        first = error.errors()[0]
        what = "is needed" if first["type"] == "missing" else f"cannot be used ({first['msg']})"
        return _form(request, viewer, settings, given, f"The {LABELS[str(first['loc'][0])]} {what}.")
    except BadInput as error:
        return _form(request, viewer, settings, given, str(error))
    sentence = f"Training {queued.run} is queued; the next trainer that is free takes it up."
    return pages.done(request, f"{pages.TRAININGS.address}/{queued.training_id}", sentence)


@router.get("/{training}")
def show_training(request: Request, session: SessionDep, home: HomeDep, viewer: Reader, training: Training) -> Response:
    """Show how far a training is, its losses and what it draws."""
    found = store.show(session, training)
    points = [(float(point.step), point.loss) for point in found.curve]
    release = session.scalar(select(Release).where(Release.run_id == found.run))
    return pages.show(
        request,
        viewer,
        pages.TRAININGS,
        "training.html.j2",
        live=True,
        training=found,
        preset=PRESETS.get(found.plan.preset),
        chart=line_chart(points, x_label="steps", label=_curve_in_words(points)) if len(points) > 1 else None,
        curve_words=_curve_in_words(points) if points else "",
        grids=[path.name for path in sample_grids(home, found.run, most=GRIDS)],
        release=f"{release.organ}/{release.number}" if release else None,
        publish=f"c2lst-server publish {shlex.quote(found.run)} --organ {found.plan.organ} --summary 'For whom it is made'",
        staged=f"c2lst-server stage publish {shlex.quote(found.run)} --organ {found.plan.organ} --out release.json\n"
        "c2lst-server sign release.json --key KEY\nc2lst-server publish --staged release.json",
        why=f"c2lst-server trainings show {found.training_id}",
    )


@router.get("/{training}/samples/{name}")
def show_samples(session: SessionDep, home: HomeDep, viewer: Reader, training: Training, name: str) -> Response:
    """Give one of the sample grids that the page shows."""
    run = store.show(session, training).run
    path = next((path for path in sample_grids(home, run, most=GRIDS) if path.name == name), None)
    if path is None:
        raise NotThere(f"Training {run} has no such picture any more; load its page again.")
    return Response(path.read_bytes(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/{training}/stop")
def stop_training(request: Request, session: SessionDep, viewer: Sender, training: Training) -> Response:
    """Stop a training."""
    found = store.cancel(session, training)
    what = "is asked to save and stop" if found.state == "cancelling" else "is stopped"
    return pages.done(request, f"{pages.TRAININGS.address}/{found.training_id}", f"Training {found.run} {what}.")


@router.post("/{training}/resume")
def resume_training(request: Request, session: SessionDep, viewer: Sender, training: Training) -> Response:
    """Queue a training again."""
    found = store.resume(session, training)
    sentence = f"Training {found.run} is queued again; it goes on from its checkpoint."
    return pages.done(request, f"{pages.TRAININGS.address}/{found.training_id}", sentence)


LABELS = {
    "organ": "organ",
    "images": "folder of images",
    "preset": "preset",
    "run": "name of the run",
    "um_per_px": "number of micrometres per pixel",
    "steps": "number of steps",
    "seed": "seed",
}


def _form(
    request: Request, viewer: AdministratorRecord, settings: Settings, given: dict[str, str], refusal: str = ""
) -> Response:
    return pages.show(
        request,
        viewer,
        pages.TRAININGS,
        "training_form.html.j2",
        status=422 if refusal else 200,
        given=dict.fromkeys(LABELS, "") | given,
        refusal=refusal,
        folders=image_folders(settings),
        presets=PRESETS,
    )


def _curve_in_words(points: list[tuple[float, float]]) -> str:
    if not points:
        return ""
    step, loss = points[-1]
    best = min(value for _, value in points)
    return f"Loss over {step:.0f} steps: {points[0][1]:.3f} at first, {loss:.3f} now, {best:.3f} at its lowest."
