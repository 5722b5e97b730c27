"""Taking tasks from a Flower process on this machine, as Flower's own `flower-superexec` does, but without loading a FAB.

A SuperNode and a SuperLink in `--isolation process` hand a task only to whoever holds the secret of its folder; a task's own
token opens everything else. So another user of the machine can neither answer for a site nor act as a round.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst_shared import atomic

if TYPE_CHECKING:
    from flwr.proto.task_pb2 import Task
    from flwr.supercore.runtime import RuntimeHttpClient

_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
SECRET_BYTES = 32


def take_secret(path: Path) -> bytes:
    """Return the secret at `path`; it is made when it is not there."""
    if not path.exists():
        atomic.write_bytes(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    return path.read_bytes()


class Tasks:
    """The tasks of one kind that wait at `address`.

    Args:
        address: host:port of the runtime API, on this machine.
        secret: of `--superexec-auth-secret-file`.
        kind: flwr-clientapp or flwr-serverapp.
        ca_pem: the certificate authority to accept; None = plain HTTP.
    """

    def __init__(self, address: str, secret: bytes, kind: str, *, ca_pem: bytes | None = None) -> None:
        from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor

        self._kind = kind
        self._where: dict[str, Any] = {"server_address": address, "insecure": ca_pem is None, "root_certificates": ca_pem}
        signing = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE})
        self._client = self._connect(signing)

    def __enter__(self) -> Tasks:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def next(self) -> tuple[Task, str] | None:
        """Return the oldest task that waits, with its token; it has half a minute to be begun.

        Raises:
            httpx.HTTPError: the process at the address does not answer.
        """
        from flwr.proto.runtime_pb2 import AcquireTaskRequest

        found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[self._kind]))
        return (found.task, found.token) if found.HasField("task") and found.token else None

    def open(self, token: str) -> RuntimeHttpClient:
        """Return a connection that may do what the task may."""
        from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor

        return self._connect(RuntimeTokenHttpInterceptor(token))

    def _connect(self, interceptor: object) -> RuntimeHttpClient:
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
        from flwr.supercore.runtime import RuntimeHttpClient

        version = RuntimeVersionHttpInterceptor(component_name="c2lst")
        return RuntimeHttpClient.from_server_address(interceptors=[version, interceptor], **self._where)
