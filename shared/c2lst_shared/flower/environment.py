"""The environment of every Flower process: nothing is reported, looked up or installed, and each has a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# Read by Flower 1.41 in telemetry.py, update_check.py and cli/flower_superlink.py (docs/federation-transport.md).
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
# Names that would send bytes by another way, or make Flower look for more; none of them reaches a child.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


def flower_environment(folder: Path, *, proxy: str | None = None, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of one Flower process.

    Args:
        folder: its own, FLWR_HOME; made when missing.
        proxy: URL of the proxy that this installation was told to use; those of the environment are taken out.
        inherited: what to start from; this process's environment by default.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = os.environ if inherited is None else inherited
    kept = {name: value for name, value in given.items() if not name.startswith("FLWR_") and name.lower() not in _PROXIES}
    if proxy:
        kept["HTTPS_PROXY"] = proxy  # what stays on this machine is plain HTTP and not concerned
    return kept | QUIET | {"FLWR_HOME": str(folder), "PYTHONUNBUFFERED": "1"}
