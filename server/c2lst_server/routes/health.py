"""Two questions of whoever starts and watches the service: does the process live, and is it fit to be sent sites?"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from c2lst_server.deps import ReadinessDep
from c2lst_server.problems import NOT_READY, RETRY_SECONDS, problem, refusals
from c2lst_shared.wire import Health

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=refusals())
async def get_health() -> Health:
    """Answer as long as the process lives; neither disk nor database is looked at, so a restart would mend what is silent."""
    return Health(status="ok", time=datetime.now(UTC))


@router.get("/readyz", response_model=Health, responses=refusals())
async def get_readiness(readiness: ReadinessDep) -> Response | Health:
    """Answer 200 when the database answers, the signed metadata is valid and the disk takes more, else 503."""
    if await readiness.faults():
        return problem(503, NOT_READY, headers={"Retry-After": RETRY_SECONDS})
    return Health(status="ok", time=datetime.now(UTC))
