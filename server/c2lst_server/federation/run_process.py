"""The process of one run; its token comes on standard input, so that nobody sees it among the processes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from c2lst_server.federation.link import Link
from c2lst_server.federation.run import named, serve_run
from c2lst_server.settings import Settings
from c2lst_server.tracing import collector
from c2lst_shared.flower.guard import allow_only
from c2lst_shared.logs import LogFormat, write_logs
from c2lst_shared.stopping import stop_on_signal


def main() -> None:
    """Serve the run whose token is on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="of SuperLink, on loopback")
    parser.add_argument("--driver", required=True, help="module:function that drives a round")
    parser.add_argument("--log-format", type=LogFormat, default=LogFormat.TEXT)
    arguments = parser.parse_args()
    write_logs(arguments.log_format)
    settings = Settings().model_copy(update={"home": arguments.home})
    token = sys.stdin.readline().strip()
    elsewhere = [url for url in (settings.database_url, collector()) if url]
    allow_only([f"127.0.0.1:{arguments.port}", *elsewhere])
    with stop_on_signal() as stop:
        serve_run(settings, Link(settings.folders.superlink, arguments.port), token, named(arguments.driver), stop)


if __name__ == "__main__":
    main()
