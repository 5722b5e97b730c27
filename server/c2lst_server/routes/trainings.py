"""Trainings as an administrator queues, sees, cancels and resumes them, with a token that has the scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response

from c2lst_server.administrators import Scope
from c2lst_server.deps import HomeDep, SessionDep, SettingsDep, administrator_with
from c2lst_server.errors import NotThere
from c2lst_server.problems import refusals
from c2lst_server.runs import latest_samples
from c2lst_server.trainings import store
from c2lst_server.trainings.images import ImageFolder, image_folders
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.store import TrainingSummary, TrainingView
from c2lst_shared.errors import BadInput

router = APIRouter(prefix="/api/v1/admin", tags=["trainings"])

MAX_PAGE = 200
_PNG = "image/png"
Training = Annotated[str, Path(max_length=64, description="Its identifier, or the name of its run.", examples=["mob-small"])]
CAN_READ = Depends(administrator_with(Scope.READ_TRAININGS))
CAN_WRITE = Depends(administrator_with(Scope.WRITE_TRAININGS))


@router.get("/images", dependencies=[CAN_READ], responses=refusals(401, 403))
def list_images(settings: SettingsDep) -> list[ImageFolder]:
    """List the folders of images that a training may name: those that the operator put into C2LST_SERVER_IMAGES."""
    return image_folders(settings)


@router.post("/trainings", dependencies=[CAN_WRITE], status_code=201, responses=refusals(400, 401, 403, 404, 422))
def queue_training(session: SessionDep, settings: SettingsDep, plan: TrainingPlan) -> TrainingView:
    """Queue a training for the next trainer that is free; 404 when there is no such folder of images."""
    return store.queue(session, settings, plan)


@router.get("/trainings", dependencies=[CAN_READ], responses=refusals(401, 403, 422))
def list_trainings(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")] = MAX_PAGE,
    offset: Annotated[int, Query(ge=0, le=10**9, description="How many to leave out: those of the pages before.")] = 0,
) -> list[TrainingSummary]:
    """List trainings, the newest first, one page at a time."""
    return store.list_trainings(session, limit=limit, offset=offset)


@router.get("/trainings/{training}", dependencies=[CAN_READ], responses=refusals(401, 403, 404, 422))
def show_training(session: SessionDep, training: Training) -> TrainingView:
    """Show how far a training is, with its loss curve; an error is a class, its words are in the command line's answer."""
    return store.show(session, training)


@router.get(
    "/trainings/{training}/samples",
    dependencies=[CAN_READ],
    response_class=Response,
    responses=refusals(401, 403, 404, 422)
    | {200: {"content": {_PNG: {"schema": {"type": "string", "format": "binary"}}}, "description": "The newest grid."}},
)
def show_samples(session: SessionDep, home: HomeDep, training: Training) -> Response:
    """Show the patches that the newest weights drew."""
    run = store.show(session, training).run
    try:
        path = latest_samples(home, run)
    except BadInput as error:
        raise NotThere(str(error)) from None
    return Response(path.read_bytes(), media_type=_PNG, headers={"Cache-Control": "no-cache"})


@router.post("/trainings/{training}/cancel", dependencies=[CAN_WRITE], responses=refusals(401, 403, 404, 422))
def cancel_training(session: SessionDep, training: Training) -> TrainingView:
    """Stop a training: at once while it waits, else after its trainer saved; 422 when it is over."""
    return store.cancel(session, training)


@router.post("/trainings/{training}/resume", dependencies=[CAN_WRITE], responses=refusals(401, 403, 404, 422))
def resume_training(session: SessionDep, training: Training) -> TrainingView:
    """Queue a training again that was cancelled or failed; it goes on from its checkpoint; 422 when it is neither."""
    return store.resume(session, training)
