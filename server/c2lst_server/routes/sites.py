"""What a site may ask for with its token."""

from __future__ import annotations

from fastapi import APIRouter

from c2lst_server.deps import SessionDep
from c2lst_server.sites import enrolment
from c2lst_shared.wire import EnrolmentReply, EnrolmentRequest

router = APIRouter(tags=["sites"])


@router.post(EnrolmentRequest.path)
def enrol_site(session: SessionDep, request: EnrolmentRequest) -> EnrolmentReply:
    """Register the public key of a site against its one-time token."""
    return enrolment.enrol(session, request)
