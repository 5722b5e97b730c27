"""The HTTP service: routes, error answers, and the daily signature of the timestamp."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.orm import sessionmaker

from c2lst_server.body_limit import BodyLimit
from c2lst_server.db.session import open_database
from c2lst_server.errors import NotThere, Refused
from c2lst_server.publishing.refresh import refresh_timestamp
from c2lst_server.routes import docs, health, releases, sites, tuf
from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError
from c2lst_shared.wire import Problem

log = logging.getLogger("uvicorn.error")

MAX_BODY_BYTES = 64 << 10
REFRESH_SECONDS = 3600  # how often to look; what is less than a day old is left alone
STATUS: dict[type[C2lstError], int] = {NotThere: 404, Refused: 403, BadInput: 422}


def create_app(settings: Settings) -> FastAPI:
    """Return the application for one deployment.

    Raises:
        BadInput: the home or the database is not initialised.
    """
    engine = open_database(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await _refresh(settings)  # before the first answer
        refreshing = asyncio.create_task(_keep_fresh(settings))
        yield
        refreshing.cancel()
        with suppress(asyncio.CancelledError):
            await refreshing
        engine.dispose()

    app = FastAPI(
        title="c2lst central service",
        description="Signed releases for sites. Everything under /tuf can be verified; the rest informs.",
        version=version("c2lst"),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.settings = settings
    app.state.sessions = sessionmaker(engine)
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES)
    app.add_exception_handler(C2lstError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_unreadable)
    app.add_exception_handler(Exception, _answer_surprise)
    for module in (health, releases, sites, tuf, docs):
        app.include_router(module.router)
    return app


async def _keep_fresh(settings: Settings) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        await _refresh(settings)


async def _refresh(settings: Settings) -> None:
    try:
        signed = await asyncio.to_thread(refresh_timestamp, settings.folders)
    except (C2lstError, OSError) as error:
        log.error("The timestamp could not be signed again: %s", error)  # noqa: TRY400 - the sentence says it all
    else:
        if signed:
            log.info("Signed again: %s.", ", ".join(signed))


def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    """Tell the caller what the caller can change; what is wrong on this side goes to the log only."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return _problem(status, str(error))
    log.error("%s: %s", type(error).__name__, error)
    return _problem(500, "The server has a problem of its own; its log says which.")


def _answer_unreadable(_request: Request, error: Exception) -> JSONResponse:
    """Name the fields that are wrong, without repeating their values, which may be secrets."""
    where = {".".join(map(str, problem["loc"])): problem["msg"] for problem in getattr(error, "errors", list)()}
    return _problem(422, "; ".join(f"{field}: {message}" for field, message in where.items()))


def _answer_surprise(_request: Request, _error: Exception) -> JSONResponse:
    return _problem(500, "The server has a problem of its own; its log says which.")


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse(Problem(detail=detail).model_dump(), status_code=status)
