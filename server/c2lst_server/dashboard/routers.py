"""All routes of the dashboard, in the order in which they are tried: that for what is not there comes last."""

from __future__ import annotations

from c2lst_server.dashboard import actions, live, overview, releases, rounds, sign_in, sites, trainings

ROUTERS = (
    sign_in.router,
    live.router,
    releases.router,
    trainings.router,
    sites.router,
    rounds.router,
    actions.router,
    overview.router,
    overview.beside,
)
