"""The benchmark of many sites measures a real round: SuperLink, nginx and driver take its light sites for sites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.federation import ROOT, Federation, needs_nginx

pytestmark = [pytest.mark.slow, pytest.mark.federation, pytest.mark.timeout(300)]

QUICK = {"between": 0.5, "running": 0.5, "resting": 0.5}  # seconds of `rounds.drive.Pace`


def test_light_sites_take_part_in_a_round_to_its_end(tmp_path: Path) -> None:
    needs_nginx()
    words = ("--sites", "2", "--idle", "2", "--pace", json.dumps(QUICK), "--json")
    command = [sys.executable, str(ROOT / "benchmarks" / "federation.py"), *words]
    environment = Federation(tmp_path)._centre_environment()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert (row["sites"], row["finished"]) == (2, 2)
    assert row["exchanges"] == 2 * 4, "offer, twice running, result"
    assert 0 < row["exchange_median"] <= row["exchange_p95"]
    assert min(row["round_cores"], row["nginx_per_1000"], row["superlink_mib"], row["run_mib"]) > 0
