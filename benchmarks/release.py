"""Pulling a release over loopback: fetch, verify and load, against a plain download with SHA-256 and `load_file`.

    python benchmarks/release.py [--mib 200] [--repeats 5] [--json]

A real server, in a process of its own, signs and serves a made-up release; each case fetches it anew. The memory of a pull is
that of verification alone; loading needs the weights themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import paired

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CHUNK = 1 << 20


class Served(NamedTuple):
    """What a case needs."""

    enrolment: Path
    weights_url: str
    scratch: Path


def serve(scratch: Path, mib: int, told: Connection) -> None:
    """Publish a release of about `mib`, tell where its weights are, and serve until the other side hangs up."""
    import torch
    from fakes.central import Central, serving

    central = Central(scratch / "central")
    with serving(central):
        layers = {f"layer{number}.weight": torch.randn(1024, 1024) for number in range(max(1, mib // 4))}
        central.publish("run", weights=layers)
        central.invite(scratch / "enrol.json")
        weights = central.served("weights.safetensors").relative_to(central.home.targets)
        told.send(f"{central.url}/tuf/targets/{weights}")
        told.poll(None)


@contextmanager
def published(mib: int) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as name:
        spawn, scratch = multiprocessing.get_context("spawn"), Path(name)
        ours, theirs = spawn.Pipe()
        server = spawn.Process(target=serve, args=(scratch, mib, theirs))
        server.start()
        theirs.close()
        yield Served(scratch / "enrol.json", ours.recv(), scratch)
        ours.close()
        server.join()


def plainly(*, sync: bool = False, load: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        served = given.closing.enter_context(published(given.mib))
        path = served.scratch / "plain.safetensors"

        def work() -> int:
            path.unlink(missing_ok=True)
            digest = hashlib.sha256()
            with urllib.request.urlopen(served.weights_url) as answer, path.open("wb") as file:
                while chunk := answer.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            if load:
                from safetensors.torch import load_file

                load_file(path)
            return given.mib

        return work

    return prepare


def verified(*, load: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        from c2lst_client.home import Home
        from c2lst_client.trust.enrol import enrol
        from c2lst_client.trust.pull import load_release, pull

        served = given.closing.enter_context(published(given.mib))
        home = Home(served.scratch / "site")
        enrol(home, served.enrolment)

        def work() -> int:
            shutil.rmtree(home.releases, ignore_errors=True)
            pull(home, "mob", 1)
            if load:
                load_release(home, "mob", 1)
            return given.mib

        return work

    return prepare


CASES: dict[str, paired.Prepare] = {
    "plain download, SHA-256": plainly(),
    "the same, brought to the disk (fsync)": plainly(sync=True),
    "ours: pull, verify (with fsync)": verified(),
    "plain download, SHA-256, load_file": plainly(load=True),
    "ours: pull, verify, load": verified(load=True),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--mib", type=int, default=200, help="size of the weights")
    paired.main("pulling a release", CASES, "MiB", arguments, __file__)
