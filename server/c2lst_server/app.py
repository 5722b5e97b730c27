"""The HTTP service: routes, error answers, and the daily signature of the timestamp."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import sessionmaker
from starlette.exceptions import HTTPException

from c2lst_server.body_limit import BodyLimit
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.links import SeenLinks
from c2lst_server.dashboard.live import watch
from c2lst_server.dashboard.routers import ROUTERS
from c2lst_server.db.session import CONNECTIONS, open_database
from c2lst_server.description import completed
from c2lst_server.errors import NotThere, Refused, TooMany, Unauthorised
from c2lst_server.logs import RequestLog
from c2lst_server.metrics import CountRequests, Metrics
from c2lst_server.problems import DATABASE_AWAY, OWN_TROUBLE, RETRY_SECONDS, ProblemResponse, problem
from c2lst_server.publishing.refresh import refresh_timestamp
from c2lst_server.rate_limit import Limits, RateLimit
from c2lst_server.readiness import Readiness, readiness_checks
from c2lst_server.routes import admin, docs, health, releases, sites, trainings, tuf
from c2lst_server.security_headers import SecurityHeaders
from c2lst_server.settings import Settings
from c2lst_server.state_metrics import StateMetrics
from c2lst_server.tracing import UNTRACED, TraceRequests, Tracing
from c2lst_shared.errors import BadInput, C2lstError
from c2lst_shared.wire import TokenRequest

log = logging.getLogger("uvicorn.error")

MAX_BODY_BYTES = 64 << 10
REFRESH_SECONDS = 300  # how often to look, as a clock may jump; what is less than a day old is left alone
SPARE = 3  # connections of the pool that are kept for health and metrics
STATUS: dict[type[C2lstError], int] = {NotThere: 404, Refused: 403, Unauthorised: 401, TooMany: 429, BadInput: 422}


def create_app(
    settings: Settings, tracing: Tracing = UNTRACED, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """Return the application for one deployment.

    Args:
        settings: of the deployment.
        tracing: writes a span for each request.
        clock: says when it is, to what signs, to readiness and to metrics.

    Raises:
        BadInput: the home or the database is not initialised.
    """
    engine = open_database(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await _refresh(settings, clock())  # before the first answer
        refreshing = asyncio.create_task(_keep_fresh(settings, clock))
        yield
        app.state.changes.close()
        app.state.readiness.close()
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
    app.state.database_turns = asyncio.Semaphore(CONNECTIONS - SPARE)
    app.state.links = SeenLinks.of(settings.folders, app.state.sessions)
    app.state.changes = watch(settings.folders, app.state.sessions, app.state.database_turns, app.state.links)
    app.state.limits = Limits(settings)
    checks = readiness_checks(settings, engine, clock)
    app.state.readiness = Readiness(checks)
    app.state.metrics = Metrics()
    app.state.metrics.watch(engine)
    app.state.metrics.registry.register(StateMetrics(settings.folders, engine, checks, clock))
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(RateLimit, limits=app.state.limits)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    if tracing.is_on:
        app.add_middleware(TraceRequests, tracing=tracing)
        tracing.watch(engine)
    app.add_middleware(RequestLog)  # the outermost: it sees what the others refuse
    app.add_exception_handler(C2lstError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_unreadable)
    app.add_exception_handler(HTTPException, _answer_http)
    for away in (OperationalError, PoolTimeout):
        app.add_exception_handler(away, _answer_database)
    app.add_exception_handler(Exception, _answer_surprise)
    for module in (health, releases, sites, admin, trainings, tuf, docs):
        app.include_router(module.router)
    app.router.routes.append(pages.ASSETS.route())
    for router in ROUTERS:
        app.include_router(router)
    description = completed(app.openapi())
    app.openapi = lambda: description  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


async def _keep_fresh(settings: Settings, clock: Callable[[], datetime]) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        await _refresh(settings, clock())


async def _refresh(settings: Settings, now: datetime) -> None:
    try:
        signed = await asyncio.to_thread(refresh_timestamp, settings.folders, now)
    except (C2lstError, OSError) as error:
        log.error("The timestamp could not be signed again: %s", error)  # noqa: TRY400 - the sentence says it all
    else:
        if signed:
            log.info("Signed again: %s.", ", ".join(signed))


def _answer_error(request: Request, error: Exception) -> ProblemResponse:
    """Tell the caller what the caller can change; what is wrong on this side goes to the log only."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return problem(status, str(error), error=_oauth_code(request, error), headers=_headers(error))
    log.error("%s: %s", type(error).__name__, error)
    return problem(500, OWN_TROUBLE)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.wait)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorised) else {}


def _oauth_code(request: Request, error: Exception) -> str | None:
    """Return the code that OAuth clients look for (RFC 6749, section 5.2; RFC 6750, section 3.1)."""
    if request.url.path == TokenRequest.path:
        return "invalid_client" if isinstance(error, Unauthorised) else "invalid_request"
    return "invalid_token" if isinstance(error, Unauthorised) else None


def _answer_unreadable(request: Request, error: Exception) -> ProblemResponse:
    """Name the fields that are wrong, without repeating their values, which may be secrets."""
    where = {".".join(map(str, found["loc"])): found["msg"] for found in getattr(error, "errors", list)()}
    detail = "; ".join(f"{field}: {message}" for field, message in where.items())
    status = 400 if request.url.path == TokenRequest.path else 422  # the former by RFC 6749, section 5.2
    return problem(status, detail, error=_oauth_code(request, error))


def _answer_http(_request: Request, error: Exception) -> ProblemResponse:
    """Answer what the framework refuses: no such path, no such method, a body that is none."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return problem(error.status_code, error.detail, headers=error.headers)


def _answer_database(_request: Request, error: Exception) -> ProblemResponse:
    """A database that is locked, full or away comes back: nothing of the request was kept, and it may be repeated."""
    log.error("The database cannot be used: %s", error)
    return problem(503, DATABASE_AWAY, headers={"Retry-After": RETRY_SECONDS})


def _answer_surprise(_request: Request, _error: Exception) -> ProblemResponse:
    return problem(500, OWN_TROUBLE)
