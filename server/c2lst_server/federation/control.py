"""What the centre asks of SuperLink's control API: which nodes there are, and runs to begin and to end."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from c2lst_server.federation.link import Link
from c2lst_shared.errors import TransferFailed

if TYPE_CHECKING:
    import httpx
    from flwr.supercore.control import ControlHttpClient

UNREGISTERED, ONLINE, FINISHED = "unregistered", "online", "finished"  # Flower's words
MAX_RUNS = 200
PATIENCE = 2  # heartbeats that SuperLink waits for before it gives a node up
ANSWER_SECONDS = 30.0  # for which an answer is waited for


@dataclass(frozen=True)
class LinkedNode:
    """A key that may connect, as SuperLink sees it."""

    node_id: int
    public_key_pem: str
    status: str  # registered, online, offline or unregistered
    online_until: datetime | None  # when SuperLink gives it up unless it hears of it; None = never seen
    heartbeat_seconds: float

    @property
    def online(self) -> bool:
        """Whether it can be sent to."""
        return self.status == ONLINE

    @property
    def last_seen(self) -> datetime | None:
        """When SuperLink last heard of it: exact for one that is online, else when it signed off or was given up."""
        if self.online_until is None or not self.online:
            return self.online_until
        return self.online_until - timedelta(seconds=PATIENCE * self.heartbeat_seconds)


@dataclass(frozen=True)
class FlowerRun:
    """A run of Flower, which serves a round."""

    run_id: int
    config: Mapping[str, Any]
    status: str  # pending, starting, running or finished

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.status != FINISHED


class Control:
    """A connection to the control API."""

    def __init__(self, client: ControlHttpClient) -> None:
        self._client = client

    def nodes(self) -> list[LinkedNode]:
        """Return all nodes that were ever registered and not forgotten.

        Raises:
            TransferFailed: SuperLink is away.
        """
        from flwr.proto.control_pb2 import ListNodesRequest

        with _translated():
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            LinkedNode(
                node.node_id,
                node.public_key.decode(),
                node.status,
                datetime.fromtimestamp(node.online_until, UTC) if node.online_until else None,
                node.heartbeat_interval,
            )
            for node in found
        ]

    def register(self, public_key_pem: str) -> int:
        """Let the holder of a key connect; return its node's id.

        Raises:
            TransferFailed: SuperLink is away, or knows the key already.
        """
        from flwr.proto.control_pb2 import RegisterNodeRequest

        with _translated():
            return int(self._client.RegisterNode(RegisterNodeRequest(public_key=public_key_pem.encode())).node_id)

    def unregister(self, node_id: int) -> None:
        """Let a node connect no more, from its next request on.

        Raises:
            TransferFailed: SuperLink is away, or does not know the node.
        """
        from flwr.proto.control_pb2 import UnregisterNodeRequest

        with _translated():
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def start_run(self, content: bytes, config: Mapping[str, str]) -> int:
        """Begin a run of a FAB; return its id.

        Raises:
            TransferFailed: SuperLink is away or refuses.
        """
        import hashlib

        from flwr.common.serde import fab_to_proto, user_config_to_proto
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.supercore.fab import Fab

        fab = fab_to_proto(Fab(hashlib.sha256(content).hexdigest(), content, {}))
        with _translated():
            request = StartRunRequest(fab=fab, override_config=user_config_to_proto(dict(config)))
            run_id = int(self._client.StartRun(request).run_id)
        if not run_id:
            raise TransferFailed("SuperLink did not begin the run; its log says why.")
        return run_id

    def runs(self) -> list[FlowerRun]:
        """Return the newest MAX_RUNS runs.

        Raises:
            TransferFailed: SuperLink is away.
        """
        from flwr.common.serde import run_from_proto
        from flwr.proto.control_pb2 import ListRunsRequest

        with _translated():
            found = self._client.ListRuns(ListRunsRequest(limit=MAX_RUNS)).run_dict.values()
        runs = [run_from_proto(run) for run in found]
        return [FlowerRun(run.run_id, run.override_config, run.status.status) for run in runs]

    def stop_run(self, run_id: int) -> None:
        """End a run.

        Raises:
            TransferFailed: SuperLink is away, or the run is over.
        """
        from flwr.proto.control_pb2 import StopRunRequest

        with _translated():
            self._client.StopRun(StopRunRequest(run_id=run_id))


@contextmanager
def open_control(link: Link, *, timeout: float = ANSWER_SECONDS) -> Iterator[Control]:
    """Open the control API of the SuperLink at `link`; an answer is waited for `timeout` seconds."""
    import httpx
    from flwr.supercore.control import ControlHttpClient
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

    with ControlHttpClient.from_server_address(
        link.address,
        insecure=False,
        root_certificates=link.certificate.read_bytes(),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="c2lst"), _Token(link.control_token())],
    ) as client:
        # Flower's own client would go through the proxies of the environment, also to this machine, and wait for longer.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        verify.load_verify_locations(cafile=link.certificate)
        client._client.close()
        client._client = httpx.Client(verify=verify, timeout=timeout, trust_env=False)
        yield Control(client)


class _Token:
    """Shows the token of the control API with each request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        context.request.headers["Authorization"] = f"Bearer {self._token}"
        response: httpx.Response = call_next(context)
        return response


@contextmanager
def _translated() -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        raise TransferFailed(f"SuperLink refuses ({error.response.status_code}: {error.response.text[:200]}).") from error
    except httpx.HTTPError as error:
        raise TransferFailed(
            f"SuperLink does not answer ({type(error).__name__}); is `c2lst-server superlink` running?"
        ) from error
