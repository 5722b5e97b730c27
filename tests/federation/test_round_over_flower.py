"""A whole round, and nothing made up but the tissue: the commands that people type, Flower, nginx, a signed release.

One of the sites is watched: no process of it, the worker's training included, connects to anything but the server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.central import Central
from fakes.federation import Federation, listening, needs_nginx, places_in, wait_for, watched
from fakes.small_site import SmallSite

from c2lst_client.audit import read_entries, verify_chain
from c2lst_client.home import Home
from c2lst_client.rounds.policy import change_policy
from c2lst_client.sites import add_site
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.presets import get_preset

pytestmark = [pytest.mark.slow, pytest.mark.federation, pytest.mark.timeout(500)]

OVER = {"finished", "failed", "declined", "cancelled"}


def test_round_of_two_sites(tmp_path: Path) -> None:
    needs_nginx()
    federation = Federation(tmp_path)
    federation.prepare()
    central = Central(federation.centre)
    central.publish("first", weights=build_backbone(get_preset("tiny").backbone, seed=0).state_dict())
    central.engine.dispose()
    trace = tmp_path / "connections.txt"
    try:
        federation.start_nginx()
        federation.start_api()
        federation.start_command("centre", "c2lst_server", "superlink", "--port", str(federation.link_port))
        for site in ("a", "b"):
            federation.enrol(site)
            home = Home(federation.site(site))
            add_site(home, "demo", organ="mob", spots=SmallSite().write_legacy(tmp_path / f"raw-{site}"))
            change_policy(home, {"mode": "auto"})
            before = watched(trace) if site == "a" else ()
            federation.start_command(site, "c2lst_client", "join", "--json", before=before)
        asked = ("--organ", "mob", "--sites", "a,b", "--steps", "4", "--fraction", "0.5", "--no-evaluate", "--no-cotrain")
        federation.server("rounds", "start", *asked)

        shown = wait_for(lambda: _over(federation), 240, "both sites have ended")

        assert {site["site"]: site["state"] for site in shown["sites"]} == {"a": "finished", "b": "finished"}
        assert all(site["result"]["train_spots"] >= 10 for site in shown["sites"])
        for site in ("a", "b"):
            log = Home(federation.site(site)).audit_log
            entries = read_entries(log)
            assert verify_chain(log) == len(entries)
            assert "RoundResult" in {entry.message for entry in entries}
        assert len(federation.children("b")) == 3, "node, app and worker; no job is left"
        runtime = {port for child in federation.children("a") for port in listening(child)}
        federation.stop("a")
        assert places_in(trace) == {("127.0.0.1", port) for port in (federation.public_port, *runtime)}
    finally:
        federation.stop_all()


def _over(federation: Federation) -> dict[str, Any] | None:
    [found] = json.loads(federation.server("rounds", "list", "--json"))
    return found if {site["state"] for site in found["sites"]} <= OVER else None
