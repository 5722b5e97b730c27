"""Refusals as problem details (RFC 9457), for the routes, the middleware and the description of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from c2lst_shared.wire import Problem

OWN_TROUBLE = "The server has a problem of its own; its log says which."
NOT_READY = "The service is not ready; its log says why."
DATABASE_AWAY = "The server cannot use its database now; ask again in a few seconds."
RETRY_SECONDS = "5"
_EXAMPLES = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read; ask with a newer c2lst.",
    HTTPStatus.UNAUTHORIZED: "This access token is not known or has run out; ask for a new one.",
    HTTPStatus.FORBIDDEN: "This enrolment token was used already; ask the central operator for a new enrolment file.",
    HTTPStatus.NOT_FOUND: "There is no release mob/7.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too long.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "path.number: Input should be a valid integer",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests; ask again in 12 seconds.",
    HTTPStatus.INTERNAL_SERVER_ERROR: OWN_TROUBLE,
    HTTPStatus.SERVICE_UNAVAILABLE: NOT_READY,
}


class ProblemResponse(JSONResponse):
    """One refusal."""

    media_type = "application/problem+json"


def problem(status: int, detail: str, *, error: str | None = None, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """Return the answer to a request that is refused.

    Args:
        status: of HTTP.
        detail: one sentence that says what the caller can do.
        error: code of an OAuth refusal.
        headers: to be sent with it.
    """
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, error=error)
    return ProblemResponse(content.model_dump(exclude_none=True), status, headers=dict(headers or {}))


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these refusals in the OpenAPI document, and those that every call may meet."""
    return {status: _described(HTTPStatus(status)) for status in sorted({*statuses, 429, 500, 503})}


def _described(status: HTTPStatus) -> dict[str, Any]:
    detail = _EXAMPLES[status]
    example = Problem(title=status.phrase, status=status, detail=detail).model_dump(exclude_none=True)
    content = {ProblemResponse.media_type: {"schema": Problem.model_json_schema(), "example": example}}
    return {"description": status.phrase, "content": content}
