"""A round over a growing number of sites: how long exchanges take, and what SuperLink and the process of the round need.

    python benchmarks/federation.py [--sites 10 25 50 100] [--direct] [--json] [--save FILE]

Real are nginx, SuperLink as `c2lst-server superlink` starts it (TLS, the keys of the sites, its database) and the process that
drives the round. Sites are light ones (`light_sites.py`): what they say over the wire is real, the work behind it is made up.
Everything runs on this machine, the sites too, so that they take their share of its cores. Each size has a home of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import paired
import psutil
from timed_rounds import PACE, TIMED

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fakes.central import Central  # noqa: E402
from fakes.federation import Federation, wait_for  # noqa: E402
from fakes.tls import new_authority, server_files  # noqa: E402

from c2lst_server.db.models import ACTIVE, Site  # noqa: E402
from c2lst_server.federation.control import LinkedNode, open_control  # noqa: E402
from c2lst_server.federation.link import Link  # noqa: E402
from c2lst_server.federation.nginx import Proxy, write_configuration  # noqa: E402
from c2lst_server.rounds import store  # noqa: E402
from c2lst_server.rounds.store import RoundPlan  # noqa: E402
from c2lst_shared.errors import TransferFailed  # noqa: E402

LINK_SECONDS = 300.0  # for all sites to be linked
ROUND_SECONDS = 900.0  # for a round to be over


@dataclass
class Row:
    """One number of sites."""

    sites: int
    times_sites: float  # over the first row's
    exchanges: int  # a request with its answer
    unanswered: int  # requests whose answer was not there in time; the sites were asked again
    lost: int  # answers that SuperLink refused with an error of its own
    relinks: int  # times that a site lost its link by such an error
    finished: int  # sites whose result came
    round_seconds: float
    exchanges_per_second: float
    exchange_median: float  # seconds
    exchange_p95: float
    requests_per_second: float  # of HTTP, at SuperLink, while the round ran
    requests_per_exchange: float  # of HTTP, without the polls that found nothing
    polls_per_second: float  # while nothing was asked
    idle_cores: float  # of SuperLink meanwhile: polls, heartbeats, and what the centre itself asks of it
    round_cores: float  # of SuperLink while the round ran
    cpu_per_1000: float  # seconds of SuperLink for 1,000 exchanges, polls included
    cpu_times_first: float  # of it, over the first row's
    nginx_per_1000: float  # seconds of nginx for 1,000 exchanges
    superlink_mib: float  # peak
    run_mib: float  # peak of the process that drives the round
    sites_cores: float  # of the light sites themselves, which share the machine
    machine_cores: float  # that were busy, with all that runs beside this: near their number, times are those of a queue


@dataclass
class Usage:
    """What was used up to a moment; seconds."""

    time: float
    superlink: float
    nginx: float
    sites: float
    machine: float
    requests: Counter[str]

    def since(self, before: Usage) -> Usage:
        return Usage(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(self)))


class Grown(Federation):
    """A centre with light sites."""

    def _centre_environment(self) -> dict[str, str]:
        given = super()._centre_environment()
        return given | {"PYTHONPATH": f"{given['PYTHONPATH']}:{HERE}"}

    @property
    def link(self) -> Link:
        return Link(self.centre / "superlink", self.link_port)

    def prepare(self) -> None:
        """Make what the commands `init` and `proxy-config` make, without the seconds that starting them takes."""
        (self.folder / "nginx").mkdir(parents=True)
        self.folder.chmod(0o755)  # nginx gives up root
        authority = new_authority()
        self.ca.write_text(authority.pem)
        certificate, key = server_files(authority, self.folder / "nginx")
        self.link.renew_certificate()
        proxy = Proxy(
            server_name="127.0.0.1",
            port=self.public_port,
            tls_cert=certificate,
            tls_key=key,
            api=f"127.0.0.1:{self.api_port}",
            superlink=self.link.address,
            superlink_certificate=self.link.certificate,
        )
        write_configuration(self.folder / "nginx" / "nginx.conf", proxy, whole=True)
        self.link.control_token()

    def start_superlink(self) -> None:
        self._start("centre", [sys.executable, str(HERE / "federation.py"), "--centre", str(self.link_port)])

    def start_sites(self, address: str, ca: Path, working: int) -> None:
        words = [str(self.folder / "keys"), address, str(ca), str(self.folder / "requests.json"), str(working)]
        self._start("sites", [sys.executable, str(HERE / "light_sites.py"), *words])

    def process(self, module: str) -> psutil.Process:
        """The centre's process that runs this module."""
        (found,) = (child for child in self.children("centre") if module in child.cmdline())
        return found

    def enrol_all(self, central: Central, sites: int) -> tuple[str, ...]:
        """Give each site a key of its own, as enrolment leaves it."""
        names = tuple(f"site-{number:04}" for number in range(sites))
        (self.folder / "keys").mkdir(mode=0o700)
        with central.session() as session:
            for name in names:
                key, now = generate_private_key(SECP384R1()), datetime.now(UTC)
                pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                (self.folder / "keys" / f"{name}.pem").write_bytes(pem)
                public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
                session.add(Site(name=name, state=ACTIVE, added=now, enrolled=now, public_key_pem=public))
            session.commit()
        return names

    def nodes(self) -> list[LinkedNode]:
        try:
            with open_control(self.link) as control:
                return control.nodes()
        except TransferFailed:  # it is starting
            return []

    def requests(self) -> Counter[str]:
        """The requests of the light sites so far, by kind; at most a second old."""
        return Counter(json.loads((self.folder / "requests.json").read_text()))

    def usage(self) -> Usage:
        proxy = psutil.Process(self.processes["nginx"].pid).children() if "nginx" in self.processes else []
        superlink = self.process("c2lst_server.federation.superlink_process")
        sites = psutil.Process(self.processes["sites"].pid)
        return Usage(time.monotonic(), cpu(superlink), cpu(*proxy), cpu(sites), cpu_of_machine(), self.requests())


def measured(sites: int, given: argparse.Namespace) -> Row:
    """One round over so many sites."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "f", sites, given) as (made, central, names),
    ):
        if given.pace:
            (made.centre / PACE).write_text(given.pace)
        start = made.usage()
        time.sleep(given.idle)
        asked = made.usage()
        with central.session() as session:
            plan = RoundPlan(organ="mob", sites=names, steps=800)
            round_id = store.start(session, central.home, plan).round_id
        view = wait_for(lambda: closed(central, round_id), ROUND_SECONDS, f"the round of {sites} sites is over")
        over = made.usage()
        peak = high_water(made.process("c2lst_server.federation.superlink_process"))
        timed = json.loads(wait_for(lambda: text_of(made.centre / TIMED), 30, "the driver has told its times"))
    idle, busy = asked.since(start), over.since(asked)
    exchanges, done, seconds = timed["exchanges"], len(timed["exchanges"]), busy.time
    for_exchanges = busy.requests["answers"] + busy.requests["other"] + timed["requests"]
    polls = busy.requests["polls"] - busy.requests["answers"]
    return Row(
        sites=sites,
        times_sites=1.0,
        exchanges=done,
        unanswered=timed["asked"] - done,
        lost=busy.requests["lost"],
        relinks=busy.requests["relinks"],
        finished=sum(site.state == "finished" for site in view.sites),
        round_seconds=seconds,
        exchanges_per_second=done / seconds,
        exchange_median=statistics.median(exchanges),
        exchange_p95=statistics.quantiles(exchanges, n=20)[-1],
        requests_per_second=(polls + for_exchanges) / seconds,
        requests_per_exchange=for_exchanges / done,
        idle_cores=idle.superlink / idle.time,
        polls_per_second=idle.requests["polls"] / idle.time,
        round_cores=busy.superlink / seconds,
        cpu_per_1000=1000 * busy.superlink / done,
        cpu_times_first=1.0,
        nginx_per_1000=1000 * busy.nginx / done,
        superlink_mib=peak,
        run_mib=timed["peak_mib"],
        sites_cores=busy.sites / seconds,
        machine_cores=busy.machine / seconds,
    )


@contextmanager
def running(folder: Path, sites: int, given: argparse.Namespace) -> Iterator[tuple[Grown, Central, tuple[str, ...]]]:
    """A centre that has a release, with all its sites linked."""
    made = Grown(folder)
    made.prepare()
    central = Central(made.centre)
    central.publish("first")
    names = made.enrol_all(central, sites)
    try:
        if not given.direct:
            made.start_nginx()
        made.start_superlink()
        wait_for(lambda: len(made.nodes()) == sites, LINK_SECONDS, f"{sites} keys are registered")
        if given.direct:
            made.start_sites(made.link.address, made.link.certificate, given.working)
        else:
            made.start_sites(f"127.0.0.1:{made.public_port}", made.ca, given.working)
        wait_for(lambda: sum(node.online for node in made.nodes()) == sites, LINK_SECONDS, f"{sites} sites are linked")
        yield made, central, names
    finally:
        made.stop_all()
        central.engine.dispose()


def closed(central: Central, round_id: str) -> store.RoundView | None:
    time.sleep(0.4)  # beside the tenth of a second of `wait_for`: a look costs this machine something too
    with central.session() as session:
        view = store.show(session, round_id)
    return view if view.closed is not None else None


def cpu(*processes: psutil.Process) -> float:
    """Seconds of processor time so far."""
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def cpu_of_machine() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def high_water(process: psutil.Process) -> float:
    """Highest resident memory so far, MiB."""
    (line,) = (line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def serve_centre(port: int) -> None:
    """What `c2lst-server superlink` does, with the driver that has a clock."""
    from c2lst_server.federation.superlink import Parts, run_superlink
    from c2lst_server.settings import Settings
    from c2lst_shared.stopping import stop_on_signal

    with stop_on_signal() as stop:
        parts = Parts(driver="timed_rounds:drive")
        run_superlink(Settings(), port, lambda event: print(event.sentence(), flush=True), stop, parts=parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[10, 25, 50, 100], help="numbers of sites")
    parser.add_argument("--direct", action="store_true", help="sites connect to SuperLink itself, without nginx")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of polls alone before the round")
    parser.add_argument("--working", type=int, default=2, help="times that each site says that it works, before its result")
    parser.add_argument("--pace", help='fields of `rounds.drive.Pace` as JSON, for example {"resting": 5}')
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--save", type=Path, help="write the JSON to this file as well")
    parser.add_argument("--centre", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.centre:
        serve_centre(given.centre)
        return
    rows: list[Row] = []
    for sites in given.sites:
        row = measured(sites, given)
        first = rows[0] if rows else row
        row.times_sites, row.cpu_times_first = row.sites / first.sites, row.cpu_per_1000 / first.cpu_per_1000
        rows.append(row)
        print(f"  {sites} sites: {row.round_seconds:.0f} s, {row.unanswered} unanswered", file=sys.stderr)
    found = {"benchmark": "federation", "machine": paired.machine(), "rows": [asdict(row) for row in rows]}
    if given.save:
        given.save.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1) if given.json else table(rows))


def table(rows: list[Row]) -> str:
    """The rows for people, one number a line: there are more numbers than sizes."""
    lines = [f"a round over sites; {paired.machine()}"]
    for name in asdict(rows[0]):
        lines.append(f"{name.replace('_', ' '):<24}" + "".join(f"{getattr(row, name):>12.4g}" for row in rows))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
