"""What a site may ask for: to be known with its one-time token, then an access token, with which it asks for the rest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from c2lst_server.deps import HomeDep, SessionDep, SiteDep
from c2lst_server.federation import site_links
from c2lst_server.problems import refusals
from c2lst_server.sites import access, enrolment
from c2lst_shared.wire import (
    REVEAL,
    AccessToken,
    EnrolmentReply,
    EnrolmentRequest,
    KeyRotation,
    LinkReply,
    SiteReply,
    TokenRequest,
)

router = APIRouter(tags=["sites"])


@router.post(EnrolmentRequest.path, responses=refusals(400, 403, 408, 413, 422))
def enrol_site(session: SessionDep, request: EnrolmentRequest) -> EnrolmentReply:
    """Register the public key of a site against its one-time token."""
    return enrolment.enrol(session, request)


@router.post(TokenRequest.path, response_model=AccessToken, responses=refusals(400, 401, 408, 413))
def get_token(session: SessionDep, http: Request, request: Annotated[TokenRequest, Form()]) -> Response:
    """Give an access token for an assertion that the site's key signed."""
    token = access.grant(session, request, user_agent=http.headers.get("user-agent")).model_dump_json(context=REVEAL)
    return Response(token, media_type="application/json", headers={"Cache-Control": "no-store"})  # RFC 6749, section 5.1


@router.get("/api/v1/sites/me", responses=refusals(401))
def get_own_site(site: SiteDep) -> SiteReply:
    """Say how the server knows the site that asks."""
    return access.describe(site)


@router.get("/api/v1/sites/me/link", responses=refusals(401))
def get_own_link(home: HomeDep, site: SiteDep) -> LinkReply:
    """Say how SuperLink sees the node of the site that asks: online, offline since when, or never linked."""
    return site_links.own_link(home, site)


@router.post(KeyRotation.path, responses=refusals(400, 401, 408, 413, 422))
def rotate_own_key(session: SessionDep, site: SiteDep, request: KeyRotation) -> SiteReply:
    """Put a new public key in the place of the site's; its access tokens become void."""
    return access.rotate_key(session, site, request)
