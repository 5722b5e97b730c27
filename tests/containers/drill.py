"""The images as they are run: a centre and two institutions on networks of their own, from building to a round's results.

    make test-containers

Builds every image, does enrol -> pull -> adapt -> round -> results on the phantom, looks at users, file systems,
capabilities and what each container reaches, stops and starts every container in the middle of the round, prints sizes.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine import ENGINE, ROOT, Failed, Project, build, call, health_checks, inspect

from c2lst_demo.phantom import make_phantom

USER = 10001
HOST, PORT, PUBLISHED = "central.test", 8443, 18443
IMAGES = ("server", "superlink", "client", "proxy", "database")
SERVICES = ("proxy", "server", "superlink", "trainer", "database")
SITE_SERVICES = ("client", "console")
STEPS = 60
OVER = {"finished", "failed", "declined", "cancelled"}
OTHER_SIDE = {  # what an image with Python must not hold
    "server": "c2lst_client",
    "superlink": "c2lst_client",
    "trainer": "c2lst_client",
    "client": "c2lst_server",
    "console": "c2lst_server",
}
BEGAN = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the beginning."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {text}", flush=True)


def check(holds: bool, what: str) -> None:
    """Print what was looked at.

    Raises:
        Failed: it does not hold.
    """
    if not holds:
        raise Failed(f"NOT SO: {what}")
    say(f"  ok: {what}")


def wait_for(look: Callable[[], bool], seconds: float, what: str, *, every: float = 3) -> None:
    """Wait until `look()` is true; a look costs a start of Python in a container, which the work beside it feels.

    Raises:
        Failed: it is not, after `seconds`.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if look():
                say(f"  ok: {what}")
                return
        except Failed:
            pass
        time.sleep(every)
    raise Failed(f"NOT SO after {seconds:.0f} s: {what}")


class Drill:
    """Everything that one drill makes, under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {
            "C2LST_SECRETS": str(folder / "secrets"),
            "C2LST_IMAGES": str(folder / "phantom" / "central"),
            "C2LST_PORT": str(PUBLISHED),
        }
        self.centre = Project("c2lst-centre", "central", environment)
        self.sites = [
            Project(
                f"c2lst-{name}",
                "site",
                environment | {"C2LST_DATA": str(folder / name), "C2LST_CONSOLE_PORT": str(18470 + number)},
                ("docker-compose.yml", "tests/containers/isolated.yml"),
            )
            for number, name in enumerate(("a", "b"))
        ]

    @property
    def projects(self) -> list[Project]:
        return [self.centre, *self.sites]

    def prepare(self) -> None:
        """Make secrets that user 10001 can read, and a phantom for everybody."""
        kept = self.folder / "secrets"
        call([str(ROOT / "docker" / "certs"), str(kept), HOST])
        password = secrets.token_urlsafe(24)
        (kept / "database_password").write_text(password)
        (kept / "c2lst_server_database_url").write_text(f"postgresql+psycopg://c2lst:{password}@database/c2lst")
        (kept / "passphrase").write_text(secrets.token_urlsafe(24))
        make_phantom(self.folder / "phantom", central_slides=1, central_um=1500, site_um=2400)
        for site in self.sites:
            shutil.copytree(self.folder / "phantom" / "site", Path(site.environment["C2LST_DATA"]) / "slide")
        call(["chown", "-R", f"{USER}:{USER}", str(self.folder)])

    def open_centre(self) -> None:
        """First the database, then keys, a short training and a release, then everything."""
        centre = self.centre
        centre.compose("up", "-d", "database")
        wait_for(lambda: centre.inside("database", "pg_isready", "-h", "127.0.0.1") != "", 60, "the database answers")
        key = (self.folder / "secrets" / "passphrase").read_text()

        def with_passphrase(*words: str) -> str:
            return centre.compose("run", "--rm", "-T", "--no-deps", "-e", f"C2LST_SERVER_PASSPHRASE={key}", "server", *words)

        with_passphrase("init")
        images = ("--organ", "phantom", "--images", "/images", "--um-per-px", "2.75")
        centre.run("trainer", "train", *images, "--preset", "tiny", "--steps", "8", "--run", "r")
        with_passphrase("publish", "r", "--organ", "phantom")
        centre.compose("up", "-d")
        wait_for(
            lambda: "ok" in centre.inside("server", "python", "-c", ANSWERS.format(8000, "/healthz")),
            120,
            "the server answers in its container",
        )
        wait_for(
            lambda: centre.inside("proxy", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}") == "", 120, "the proxy listens"
        )

    def open_site(self, site: Project) -> None:
        """Invite a site, connect its network to the proxy, enrol it, add its slide and let it take part."""
        name = site.name.removeprefix("c2lst-")
        authority = (self.folder / "secrets" / "ca_cert.pem").read_text()
        self.centre.inside("server", "sh", "-c", "cat > /tmp/ca.pem", stdin=authority)
        asked = ("--url", f"https://{HOST}:{PORT}", "--ca", "/tmp/ca.pem", "--out", "/tmp/enrolment.json")
        self.centre.inside("server", "c2lst-server", "sites", "add", name, *asked)
        file = Path(site.environment["C2LST_DATA"]) / "enrolment.json"
        file.write_text(self.centre.inside("server", "cat", "/tmp/enrolment.json"))
        file.chmod(0o644)
        site.compose("up", "--no-start")
        call([*ENGINE, "network", "connect", "--alias", HOST, f"{site.name}_site", self.centre.container("proxy")])
        site.run("client", "enroll", "/data/enrolment.json")
        site.run("client", "site", "add", "slide", "--organ", "phantom", "--spots", "/data/slide", "--um-per-px", "2.75")
        site.run("client", "policy", "set", "--mode", "auto")
        say(site.run("client", "adapt", "--site", "slide", "--steps", "4").strip().splitlines()[-1])
        site.compose("up", "-d")

    def look_at_containers(self) -> None:
        """Users, file systems, capabilities, and what is not in them."""
        for project in self.projects:
            for service in SERVICES if project is self.centre else SITE_SERVICES:
                what = f"{project.name}/{service}"
                check(project.inside(service, "id", "-u").strip() == str(USER), f"{what} runs as user {USER}")
                tried = project.inside(service, "sh", "-c", "touch /usr/x 2>/dev/null || echo refused")
                check(tried.strip() == "refused", f"{what} cannot write to its root file system")
                status = dict(line.split(":\t", 1) for line in project.inside(service, "cat", "/proc/1/status").splitlines())
                check(int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1", f"{what} has no capabilities")
                tools = project.inside(service, "sh", "-c", "command -v gcc cc make pip git || true; ls /var/lib/apt/lists")
                check(tools.strip() == "", f"{what} holds no compiler, no pip and no package lists")
                if service in OTHER_SIDE:
                    other = OTHER_SIDE[service]
                    found = project.inside(
                        service, "python", "-c", f"import importlib.util as u; print(u.find_spec('{other}'))"
                    )
                    check(found.strip() == "None", f"{what} holds no {other}")
                    parts = json.loads(project.inside(service, "cat", "/usr/share/c2lst/sbom/python.cdx.json"))["components"]
                    check({"torch", "flwr"} <= {part["name"] for part in parts}, f"{what} lists its {len(parts)} packages")

    def look_at_networks(self) -> None:
        """A site reaches the centre's proxy and nothing else; of the centre only the proxy is published."""
        elsewhere = [
            (f"{project.name}/{service}", address, port)
            for project in self.projects
            for service, port in (("server", 8000), ("superlink", 9092), ("database", 5432), ("client", 22))
            if (project is self.centre) == (service != "client")
            for address in addresses(project, service)
        ]
        for site in self.sites:
            check(reaches(site, HOST, PORT), f"{site.name} reaches the proxy")
            check(not reaches(site, "1.1.1.1", 443), f"{site.name} does not reach the internet")
            check(not reaches(site, HOST, 9092), f"{site.name} does not reach SuperLink's port at the proxy")
            for what, address, port in elsewhere:
                if not what.startswith(site.name):
                    check(not reaches(site, address, port), f"{site.name} does not reach {what} at port {port}")
            answer = site.inside("console", "python", "-c", ANSWERS.format(8470, "/"))
            check(answer.strip() == "ok", f"{site.name}'s console answers in its container")
            token = site.inside("console", "c2lst-client", "console", "--show-token").strip()
            check(len(token) == 43 and " " not in token, f"{site.name}'s console shows its token")
        authority = str(self.folder / "secrets" / "ca_cert.pem")
        place = ("--cacert", authority, "--resolve", f"{HOST}:{PUBLISHED}:127.0.0.1", f"https://{HOST}:{PUBLISHED}/dashboard")
        check("Sign in" in call(["curl", "-sSL", *place]), "the dashboard answers through the published port, with TLS")
        published = {service for service in SERVICES if ports(self.centre, service)}
        check(published == {"proxy"}, "of the centre only the proxy is published")

    def hold_round(self) -> None:
        """A round of both sites, in the middle of which every container is stopped and started."""
        which = ("--organ", "phantom", "--sites", "a,b", "--fraction", "0.5")
        asked = (*which, "--steps", str(STEPS), "--no-cotrain")  # training the predictor needs nothing of containers
        say(self.centre.inside("superlink", "c2lst-server", "rounds", "start", *asked).strip().splitlines()[0])
        wait_for(lambda: {"running"} & self.states() != set(), 300, "a site is at work")
        wait_for(
            lambda: self.online("server") == {"a", "b"}, 120, "the server's container, as its dashboard, sees both sites online"
        )
        for project in self.projects:
            for service in SERVICES if project is self.centre else SITE_SERVICES:
                began = time.monotonic()
                container = project.container(service)
                call([*ENGINE, "stop", "-t", "60", container])
                seconds = time.monotonic() - began
                code = inspect(container)["State"]["ExitCode"]
                check(code in (0, 143), f"{project.name}/{service} ended when asked (code {code}, {seconds:.0f} s)")
                call([*ENGINE, "start", container])
        what = "every container was stopped and started, and the round has ended"
        wait_for(lambda: self.states() <= OVER, 1800, what, every=30)
        check(self.states() == {"finished"}, "both sites have finished")
        for site in self.round()["sites"]:
            result = site["result"]
            check(
                result["train_spots"] >= 10,
                f"site {site['site']}: {result['train_spots']} training spots, {json.dumps(result)[:400]}",
            )

    def told(self) -> str:
        """How the round stands, by what the centre and the sites say; for whoever must find out why it does not end."""
        asked = [(self.centre, "superlink", "c2lst-server"), *((site, "client", "c2lst-client") for site in self.sites)]
        said = []
        for project, service, command in asked:
            try:
                said.append(project.inside(service, command, "rounds", "list", "--json"))
            except Failed as error:
                said.append(str(error))
        return "\n".join(said)

    def round(self) -> dict:  # type: ignore[type-arg]
        """The round, as the centre shows it."""
        [found] = json.loads(self.centre.inside("superlink", "c2lst-server", "rounds", "list", "--json"))
        return found

    def online(self, service: str) -> set[str]:
        """The sites that a service of the centre sees linked."""
        found = json.loads(self.centre.inside(service, "c2lst-server", "status", "--json"))["online"]
        return set(found or ())

    def states(self) -> set[str]:
        """The states of the sites in the round."""
        return {site["state"] for site in self.round()["sites"]}


ANSWERS = "import urllib.request as r; r.urlopen('http://127.0.0.1:{}{}', timeout=8); print('ok')"
CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4); print('yes')"


def reaches(project: Project, host: str, port: int) -> bool:
    """Whether the site's container can open a connection."""
    try:
        return project.inside("client", "python", "-c", CONNECTS, host, str(port)).strip() == "yes"
    except Failed:
        return False


def addresses(project: Project, service: str) -> list[str]:
    """All addresses of a service's container."""
    networks = inspect(project.container(service))["NetworkSettings"]["Networks"]
    return [network["IPAddress"] for network in networks.values() if network["IPAddress"]]


def ports(project: Project, service: str) -> list[str]:
    """The ports of a service that the machine publishes."""
    return [port for port, bound in (inspect(project.container(service))["NetworkSettings"]["Ports"] or {}).items() if bound]


def main() -> None:
    """Run the drill."""
    version = "0.1.0"
    for target in IMAGES:
        build(target, f"c2lst/{target}:{version}")
        size = inspect(f"c2lst/{target}:{version}")["Size"]
        say(f"built c2lst/{target}:{version}, {size / 2**20:.0f} MiB")
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(Path(folder))
        Path(folder).chmod(0o755)
        try:
            with health_checks():
                drill.prepare()
                drill.open_centre()
                for site in drill.sites:
                    drill.open_site(site)
                drill.look_at_containers()
                drill.look_at_networks()
                drill.hold_round()
        except Failed as error:
            print(error, drill.told(), sep="\n", file=sys.stderr)
            for project in drill.projects:
                print(project.compose("logs", "--tail", "40"), file=sys.stderr)
            raise SystemExit(1) from None
        finally:
            for project in reversed(drill.projects):
                project.down()
    say("done")


if __name__ == "__main__":
    main()
