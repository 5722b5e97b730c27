"""Flower's SuperNode in a process that can speak to the centre and to this machine, and to nothing else."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from c2lst_shared.flower.guard import allow_only
from c2lst_shared.logs import LogFormat, take_over, write_logs

MARK_SECONDS = 2.0  # between two notes that the centre answered
SERVER_ERROR = 500  # status from which on it is the proxy that answers, or nobody well


def main() -> None:
    """Run `flower-supernode` with the arguments after the first three: where it may connect to, the mark, how to log."""
    allowed, mark, log_format = sys.argv[1].split(","), Path(sys.argv[2]), LogFormat(sys.argv[3])
    sys.argv = ["flower-supernode", *sys.argv[4:]]
    write_logs(log_format, plain_errors=True)
    allow_only(allowed)
    from flwr.supernode.cli import flower_supernode

    take_over("flwr")
    mark_contacts(allowed[0], mark)
    flower_supernode()


def mark_contacts(server: str, mark: Path) -> None:
    """Note by the age of the file `mark` when the centre last answered this process; nothing is written into it."""
    import httpx

    host = urlsplit(f"//{server}").hostname
    send, noted = httpx.Client.send, 0.0

    def noting(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        nonlocal noted
        answer = send(client, request, **options)
        if request.url.host == host and answer.status_code < SERVER_ERROR and time.monotonic() - noted > MARK_SECONDS:
            noted = time.monotonic()
            with suppress(OSError):  # a full disk is no reason to lose the link
                mark.touch(mode=0o600)
        return answer

    httpx.Client.send = noting  # type: ignore[method-assign, assignment]  # Flower has no hook for it


if __name__ == "__main__":
    main()
