"""Pulling a release: fetch, verify and load, against a plain download with SHA-256 and `load_file`, over loopback.

    python benchmarks/release.py [--mib 200] [--repeats 3] [--json]

A real server signs and serves a made-up release; each case fetches it anew.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import paired
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CHUNK = 1 << 20


def published(given: argparse.Namespace) -> tuple[Path, str]:
    """Serve a release of about `mib` and enrol a site; return the site's home and the URL of the weights."""
    from fakes.central import Central, serving

    from c2lst_client.home import Home
    from c2lst_client.trust.enrol import enrol

    scratch = Path(given.closing.enter_context(tempfile.TemporaryDirectory()))
    central = given.closing.enter_context(serving(Central(scratch / "central")))
    layers = max(1, given.mib // 4)
    central.publish("run", weights={f"layer{number}.weight": torch.randn(1024, 1024) for number in range(layers)})
    home = Home(scratch / "site")
    enrol(home, central.invite(scratch / "enrol.json"))
    weights = central.served("weights.safetensors")
    return home.path, f"{central.url}/tuf/targets/{weights.relative_to(central.home.targets)}"


def plainly(given: argparse.Namespace) -> paired.Work:
    from safetensors.torch import load_file

    site, url = published(given)
    path = site / "plain.safetensors"

    def work() -> int:
        digest = hashlib.sha256()
        with urllib.request.urlopen(url) as answer, path.open("wb") as file:
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        load_file(path)
        return given.mib

    return work


def verified(given: argparse.Namespace) -> paired.Work:
    from c2lst_client.home import Home
    from c2lst_client.trust.pull import load_release, pull

    home = Home(published(given)[0])

    def work() -> int:
        shutil.rmtree(home.releases, ignore_errors=True)
        pull(home, "mob", 1)
        load_release(home, "mob", 1)
        return given.mib

    return work


CASES: dict[str, paired.Prepare] = {"plain download, SHA-256, load_file": plainly, "ours: pull, verify, load": verified}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--mib", type=int, default=200, help="size of the weights")
    paired.main("pulling a release", CASES, "MiB", arguments, __file__)
