"""A container engine and its compose, by the commands that the environment names."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENGINE = shlex.split(os.environ.get("CONTAINER_ENGINE", "docker"))
BUILD = shlex.split(os.environ.get("CONTAINER_BUILD", "docker build"))
COMPOSE = shlex.split(os.environ.get("CONTAINER_COMPOSE", "docker compose"))
LABEL = "com.docker.compose"
LOOK_SECONDS = 15


class Failed(Exception):
    """A command did not do what it should."""


def call(command: Sequence[str], *, stdin: str | None = None, env: Mapping[str, str] = {}, timeout: float = 900) -> str:
    """Run a command and return what it printed.

    Raises:
        Failed: it ended with another code than 0.
    """
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=os.environ | env, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise Failed(f"$ {shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def build(target: str, tag: str) -> None:
    """Build one image."""
    command = [*BUILD, "-f", "docker/Dockerfile", "--target", target, "-t", tag, "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"$ {shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def inspect(what: str) -> dict[str, Any]:
    """Return what the engine knows of a container or an image."""
    found: dict[str, Any] = json.loads(call([*ENGINE, "inspect", what]))[0]
    return found


@contextmanager
def health_checks() -> Iterator[None]:
    """See to it that containers become healthy: podman leaves their checks to systemd timers, which a container or a small
    machine does not have. Docker runs them itself.
    """
    if not ENGINE[0].endswith("podman") or Path("/run/systemd/system").exists():
        yield
        return
    over = threading.Event()
    not_healthy = [*ENGINE, "ps", "-q", "--filter", "health=starting", "--filter", "health=unhealthy"]

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            for container in subprocess.run(not_healthy, capture_output=True, text=True, check=False).stdout.split():
                subprocess.run([*ENGINE, "healthcheck", "run", container], capture_output=True, check=False)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Project:
    """One compose project: the centre, or one site."""

    name: str
    profile: str
    environment: Mapping[str, str]
    files: Sequence[str] = ("docker-compose.yml",)

    def compose(self, *words: str, stdin: str | None = None, timeout: float = 900) -> str:
        """Call compose with this project's files and settings."""
        files = [word for file in self.files for word in ("-f", str(ROOT / file))]
        command = [*COMPOSE, "-p", self.name, *files, "--profile", self.profile, *words]
        return call(command, stdin=stdin, env=self.environment, timeout=timeout)

    def run(self, service: str, *words: str, timeout: float = 900) -> str:
        """Run one command in a new container of a service, and remove it."""
        return self.compose("run", "--rm", "-T", "--no-deps", service, *words, timeout=timeout)

    def inside(self, service: str, *words: str, stdin: str | None = None) -> str:
        """Run one command in the service's container."""
        interactive = ["-i"] if stdin is not None else []
        return call([*ENGINE, "exec", *interactive, self.container(service), *words], stdin=stdin)

    def container(self, service: str) -> str:
        """Return the id of the service's container, running or not.

        Raises:
            Failed: there is none.
        """
        labels = (f"{LABEL}.project={self.name}", f"{LABEL}.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        found = call([*ENGINE, "ps", "-a", "-q", *filters]).split()
        if len(found) != 1:
            raise Failed(f"{self.name} has {len(found)} containers of {service}.")
        return found[0]

    def down(self) -> None:
        """Remove everything of the project, volumes too."""
        try:
            self.compose("down", "-v")
        except Failed as error:
            print(error, file=sys.stderr)
