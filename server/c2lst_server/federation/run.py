"""One Flower run, which serves one round: Flower's ServerApp, without loading it from a FAB."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.orm import Session

from c2lst_server.db.session import open_database
from c2lst_server.federation.control import open_control
from c2lst_server.federation.keys_in_step import active_keys
from c2lst_server.federation.link import Link
from c2lst_server.federation.transport import FlowerTransport
from c2lst_server.rounds.transport import Transport
from c2lst_server.settings import Settings
from c2lst_shared.flower.fab import ROUND

if TYPE_CHECKING:
    from flwr.serverapp import ServerApp

log = logging.getLogger(__name__)

LOST_SECONDS = 20.0  # for which a SuperLink that is away is waited for within one call
COMPLETED, FAILED = "completed", "failed"


class Driver(Protocol):
    """What drives a round from where it stands to its end, or until it is told to stop."""

    def __call__(self, settings: Settings, round_id: str, transport: Transport, stop: Callable[[], bool]) -> None:
        """Drive it; a round that is over is left at once."""


def serve_run(settings: Settings, link: Link, token: str, drive: Driver, stop: Callable[[], bool]) -> None:
    """Do the task that `token` opens: drive the run's round with messages to its sites, and say when it is over.

    A run that was interrupted is not gone on with: SuperLink notices within a minute, and the round gets a new run.
    """
    from flwr.common.serde import run_from_proto
    from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
    from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
    from flwr.supercore.task_identity import TaskIdentity
    from flwr.superlink.grid import HttpGrid

    grid = HttpGrid(link.address, root_certificates=link.certificate.read_bytes(), token=token)
    # Flower's own default is to wait for ever, and `exchange` promises not to.
    grid._retry_invoker.max_time = LOST_SECONDS
    client = grid._runtime_client
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    outcome = FAILED
    engine = open_database(settings)
    try:
        given = client.PullTaskInput(PullTaskInputRequest())
        run = run_from_proto(given.run)
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = given.task_id, run.run_id, given.context.node_id
        grid.set_run(run)
        with open_control(link) as control:

            def keys() -> dict[str, str]:
                with Session(engine) as session:
                    return active_keys(session)

            drive(settings, str(run.override_config[ROUND]), FlowerTransport(grid, control, keys), stop)
        outcome = COMPLETED
    finally:
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=outcome, details=""))
        heartbeat.stop()
        grid.close()
        engine.dispose()


def named(reference: str) -> Any:
    """Return what `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def __getattr__(name: str) -> ServerApp:
    """Give what the FAB names, a Flower app, to whoever would load the FAB: it does nothing."""
    if name != "app":
        raise AttributeError(name)
    from flwr.serverapp import ServerApp

    def refuse(grid: object, context: object) -> None:
        raise RuntimeError("Rounds are driven by `c2lst-server superlink`, not by Flower's own executor.")

    app = ServerApp()
    app.main()(refuse)
    return app
