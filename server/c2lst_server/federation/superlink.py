"""`c2lst-server superlink`: the centre's end of the federation, for as long as this runs.

Two processes, each kept running: SuperLink (Flower's, on loopback, behind the proxy) and the runs (one process per round that
is open). Meanwhile the keys that may connect are kept in step with the sites, and each open round is given a run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from c2lst_server.db.session import open_database
from c2lst_server.federation.control import Control, open_control
from c2lst_server.federation.keys_in_step import active_keys, keep_in_step
from c2lst_server.federation.link import LOOPBACK, Link
from c2lst_server.federation.run import named
from c2lst_server.settings import Settings
from c2lst_server.tracing import collector
from c2lst_shared import atomic
from c2lst_shared.errors import TransferFailed
from c2lst_shared.flower import child
from c2lst_shared.flower.environment import flower_environment
from c2lst_shared.flower.fab import ROUND, build_fab
from c2lst_shared.flower.heartbeat import Heartbeat
from c2lst_shared.flower.supervisor import Event, Service, Supervisor
from c2lst_shared.flower.tasks import take_secret
from c2lst_shared.locking import locked
from c2lst_shared.logs import LogFormat

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

SUPERLINK, RUNS = "superlink", "runs"
STEP_SECONDS = 3.0  # between two comparisons with SuperLink
STEP_TIMEOUT = 10.0  # for which a SuperLink that hangs is waited for: meanwhile nothing else is looked at
AGAIN_SECONDS = 15.0  # between two runs of a round, whose driver may end at once while another one's lease runs


@dataclass(frozen=True)
class Parts:
    """What knows about rounds: names of functions."""

    driver: str = "c2lst_server.rounds.drive:drive"  # of (settings, round_id, transport, stop)
    open_rounds: str = "c2lst_server.rounds.store:open_rounds"  # of (session) -> ids of the rounds that need a run


def run_superlink(
    settings: Settings,
    port: int,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
    *,
    host: str = LOOPBACK,
    certificate_copy: Path | None = None,
    parts: Parts | None = None,
    log_format: LogFormat = LogFormat.TEXT,
) -> None:
    """Run the centre's processes until `stop()` is true, then end them.

    Args:
        settings: of the deployment.
        port: of SuperLink.
        report: hears of every start and end.
        stop: says when to end.
        host: where SuperLink listens.
        certificate_copy: where to write its certificate as well, for a proxy that cannot read the home.
        parts: what knows about rounds.
        log_format: of what the processes log.

    Raises:
        BadInput: the home is not initialised, or the collector of traces cannot be used.
        Busy: another `superlink` runs in this home.
    """
    folders = settings.folders
    folders.check_initialised()
    collector()  # said here once, and not by every run
    parts = parts or Parts()
    link = Link(folders.superlink, port, host)
    message = f"Another `c2lst-server superlink` runs in {folders.path}; stop it first."
    with locked(link.folder / ".lock", message, wait=0):
        engine = open_database(settings)
        link.renew_certificate()
        if certificate_copy is not None:
            atomic.write_bytes(certificate_copy, link.certificate.read_bytes())
        step = _Step(engine, link, named(parts.open_rounds))

        try:
            services = centre_services(settings, link, parts, log_format)
            with Heartbeat(link.processes, [service.name for service in services]) as heartbeat:

                def heard(event: Event) -> None:
                    report(event)
                    step.hear(event)
                    heartbeat.hear(event)

                def meanwhile() -> None:
                    heartbeat.beat()
                    step()

                Supervisor(services, heard).run(stop, meanwhile=meanwhile)
        finally:
            engine.dispose()


def centre_services(settings: Settings, link: Link, parts: Parts, log_format: LogFormat = LogFormat.TEXT) -> list[Service]:
    """Return the processes of the centre, with the files that they need in place."""
    link.renew_certificate()
    link.control_token()
    link.note_place()
    take_secret(link.tasks_secret)
    link.database.parent.mkdir(exist_ok=True, mode=0o700)  # Flower makes files that everybody can read
    home = str(settings.folders.path)
    runs = ("--home", home, "--folder", str(link.folder), "--port", str(link.port), "--driver", parts.driver)
    style = ("--log-format", log_format.value)
    commands = {
        SUPERLINK: superlink_command(link, log_format),
        RUNS: child.command("c2lst_server.federation.runs_process", *runs, *style),
    }
    return [
        Service(
            name, command, flower_environment(link.folder / name) | {"FLWR_LOG_LEVEL": "WARNING"}, link.folder / f"{name}.log"
        )
        for name, command in commands.items()
    ]


def superlink_command(link: Link, log_format: LogFormat = LogFormat.TEXT) -> list[str]:
    """Return the command of SuperLink."""
    return [
        *child.command("c2lst_server.federation.superlink_process", str(link.control_token_file), log_format.value),
        *("--host", link.host, "--port", str(link.port), "--database", str(link.database)),
        *("--ssl-certfile", str(link.certificate), "--ssl-keyfile", str(link.private_key)),
        *("--ssl-ca-certfile", str(link.certificate)),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--isolation", "process", "--superexec-auth-secret-file", str(link.tasks_secret)),
    ]


def give_runs(open_rounds: Sequence[str], control: Control) -> list[str]:
    """Begin a run for each open round that has none; return those rounds.

    Raises:
        TransferFailed: SuperLink is away.
    """
    if not open_rounds:
        return []
    served = {str(run.config.get(ROUND, "")) for run in control.runs() if run.open}
    missing = [round_id for round_id in open_rounds if round_id not in served]
    for round_id in missing:
        control.start_run(build_fab(), {ROUND: round_id})
    return missing


def end_runs(control: Control) -> None:
    """End the runs that are open; SuperLink would notice only after a minute that their processes are gone.

    Raises:
        TransferFailed: SuperLink is away.
    """
    for run in control.runs():
        if run.open:
            control.stop_run(run.run_id)


class _Step:
    """Compares SuperLink with the database now and then; a SuperLink that is away is asked again later."""

    def __init__(self, engine: Engine, link: Link, open_rounds: Callable[[Session], Sequence[str]]) -> None:
        self._sessions, self._link, self._open_rounds = sessionmaker(engine), link, open_rounds
        self._due, self._orphans = 0.0, True
        self._begun: dict[str, float] = {}  # when each round was last given a run

    def _may_begin(self, round_id: str) -> bool:
        return time.monotonic() - self._begun.get(round_id, -AGAIN_SECONDS) >= AGAIN_SECONDS

    def hear(self, event: Event) -> None:
        """Note that runs which are open now have lost their processes."""
        self._orphans |= event.name == RUNS and event.state == "running"

    def __call__(self) -> None:
        if time.monotonic() < self._due:
            return
        try:
            with self._sessions() as session:
                keys, rounds = set(active_keys(session)), self._open_rounds(session)
            with open_control(self._link, timeout=STEP_TIMEOUT) as control:
                registered, taken_off = keep_in_step(keys, control, self._link.database)
                if self._orphans:
                    end_runs(control)
                    self._orphans = False
                begun = give_runs([round_id for round_id in rounds if self._may_begin(round_id)], control)
                self._begun |= dict.fromkeys(begun, time.monotonic())
        except TransferFailed:
            pass  # it is starting, or being started again, which the supervisor has said
        except SQLAlchemyError:
            log.exception("The database cannot be read; it is tried again")
        else:
            for text, found in (("keys registered", registered), ("keys taken off", taken_off), ("runs begun", len(begun))):
                if found:
                    log.info("%d %s", found, text)
        self._due = time.monotonic() + STEP_SECONDS
