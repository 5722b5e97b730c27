"""The only way out: every byte that leaves the site, and every answer, passes through this client and its audit log.

It talks to one server, sends nothing but messages of `wire`, follows no redirect, and believes no size that the other
side claims.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Protocol, TypeVar

import httpx
from pydantic import SecretStr, ValidationError

from c2lst_client.audit import AuditLog, Entry
from c2lst_shared.errors import BadArtefact, BadInput, TransferFailed
from c2lst_shared.wire import Problem, WireMessage, WireReply

USER_AGENT = f"c2lst/{version('c2lst')}"  # so that the centre can say which sites need an update
MAX_REPLY_BYTES = 1 << 20
MAX_PROBLEM_BYTES = 4 << 10
TIMEOUT = httpx.Timeout(60, connect=10)  # seconds without a byte
LONGEST_WAIT = 120.0  # seconds that a server may ask to be left alone
SLOWEST = 500  # bytes a second, on average over WINDOW: a body that drips for ever is given up
WINDOW = 60.0  # seconds
_PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")  # no query, no "..", nothing that could carry data

Reply = TypeVar("Reply", bound=WireReply)


class HttpStatus(TransferFailed):
    """The server answered, but not with what was asked for."""

    def __init__(self, message: str, status: int, wait: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait  # seconds after which the server wants to be asked again


class Sink(Protocol):
    """Where a download goes that may have begun earlier."""

    @property
    def held(self) -> int:
        """How many bytes are there."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def restart(self) -> None:
        """Give up what is there: the body comes from its first byte."""


class Egress:
    """A connection to `server`, written down in `audit`.

    Args:
        server: base URL, https or loopback.
        audit: gets one line per request.
        ca_pem: the only certificate authority to accept; None = those of the operating system.
        proxy: URL of a proxy to go through; the environment's proxies are not used.

    Raises:
        BadInput: the certificate authority or the proxy cannot be used.
    """

    def __init__(self, server: str, audit: AuditLog, *, ca_pem: str | None = None, proxy: str | None = None) -> None:
        self._server = server
        self._audit = audit
        self.certificate_ends: datetime | None = None  # the server's, as seen at the last answer; None as long as none was
        try:
            # to loopback without TLS nothing is accepted as a certificate, and no authority has to be read
            secure = server.startswith("https:")
            trust = ssl.create_default_context(cadata=ca_pem) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._client = httpx.Client(
                base_url=server,
                verify=trust,
                proxy=proxy,
                timeout=TIMEOUT,
                trust_env=False,
                follow_redirects=False,
                headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            )
        except (ssl.SSLError, ValueError, httpx.InvalidURL) as error:
            raise BadInput(f"The server's certificate authority or the proxy {proxy!r} cannot be used: {error}.") from error

    def __enter__(self) -> Egress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def send(self, message: WireMessage, reply: type[Reply], *, token: SecretStr | None = None) -> Reply:
        """Post a message, with the site's access token where it is needed, and return the server's answer.

        Raises:
            HttpStatus: the server refused; its reason is the message.
            TransferFailed: no usable answer came.
        """
        return self._answer(message.path, self._exchange("POST", message.path, MAX_REPLY_BYTES, message, token=token), reply)

    def ask(self, path: str, reply: type[Reply], *, token: SecretStr | None = None) -> Reply:
        """Return the server's answer at `path`.

        Raises:
            HttpStatus, TransferFailed: as `send`.
        """
        return self._answer(path, self._exchange("GET", path, MAX_REPLY_BYTES, token=token), reply)

    def download(self, path: str, *, limit: int) -> Iterator[bytes]:
        """Yield the body of what is at `path`, at most `limit` bytes of it.

        Raises:
            HttpStatus: the server refused or does not have it.
            TransferFailed: the connection failed.
            BadArtefact: there is more than `limit`.
        """
        return self._exchange("GET", path, limit)

    def continue_download(self, path: str, sink: Sink, *, length: int) -> None:
        """Bring what `sink` lacks of the `length` bytes at `path`; a server that sends the whole body makes it start anew.

        Raises:
            HttpStatus: the server refused or does not have it.
            TransferFailed: the connection failed, or the body ended early; what came is in the sink.
            BadArtefact: there is more than `length`.
        """
        held = sink.held
        try:
            for chunk in self._exchange("GET", path, length - held, first_byte=held, whole=sink.restart):
                sink.write(chunk)
        except HttpStatus as error:
            if error.status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise BadArtefact(
                    f"{self._server}{path} is shorter than the {length} bytes that were signed; refused."
                ) from error
            raise
        if sink.held < length:
            raise TransferFailed(
                f"{self._server}{path} ended after {sink.held} of {length} bytes; run again, it goes on there."
            )

    def _answer(self, path: str, body: Iterator[bytes], reply: type[Reply]) -> Reply:
        try:
            return reply.model_validate_json(b"".join(body))
        except ValidationError as error:
            raise TransferFailed(f"{self._server}{path} did not answer with {reply.__name__}; check its URL.") from error

    def _exchange(
        self,
        method: str,
        path: str,
        limit: int,
        message: WireMessage | None = None,
        *,
        token: SecretStr | None = None,
        first_byte: int = 0,
        whole: Callable[[], None] = lambda: None,
    ) -> Iterator[bytes]:
        """Yield the answer's body; with `first_byte` the rest from there, or all of it after a call of `whole`."""
        if not _PATH.fullmatch(path):
            raise BadArtefact(f"{path!r} is no path that c2lst asks for; what names it cannot be trusted.")
        body = message.body() if message else b""
        status, sent, received = None, len(body), 0
        headers = _headers(message, token, first_byte)
        try:
            with self._translated(), self._client.stream(method, path, content=body, headers=headers) as response:
                status = response.status_code
                if self._server.startswith("https:"):
                    self.certificate_ends = _certificate_end(response)
                if first_byte and status == httpx.codes.OK:
                    whole()
                    limit += first_byte
                elif first_byte and status == httpx.codes.PARTIAL_CONTENT:
                    _check_range(response, self._server + path, first_byte)
                elif status != httpx.codes.OK:
                    problem = _beginning(response, MAX_PROBLEM_BYTES)
                    received = len(problem)
                    raise HttpStatus(self._explain(path, status, problem), status, _retry_after(response))
                pace = _Pace(self._server + path)
                for chunk in response.iter_raw():
                    received += len(chunk)
                    if received > limit:
                        raise BadArtefact(f"{self._server}{path} is longer than {limit} bytes, which it may not be; refused.")
                    pace.check(received)
                    yield chunk
        except TransferFailed as error:
            if isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout)):
                sent = 0  # refused or not trusted before a byte of ours left
            raise
        finally:
            self._audit.append(
                Entry(
                    method=method,
                    path=path,
                    bytes_out=sent,
                    bytes_in=received,
                    status=status,
                    message=type(message).__name__ if message else None,
                    content=message.for_audit() if message and sent else None,
                )
            )

    def _explain(self, path: str, status: int, body: bytes) -> str:
        """Say what the server says, which may be anything, in one printable line."""
        if 300 <= status < 400:
            return f"{self._server}{path} points to another address ({status}), which is not followed; check the server's URL."
        try:
            detail = Problem.model_validate_json(body).detail
        except ValidationError:
            return f"{self._server}{path} answered {status}; run again later or ask the central operator."
        return "".join(character for character in detail[:300] if character.isprintable())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise TransferFailed(f"{self._server} did not answer in time; check the network and run again.") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise TransferFailed(
                    f"The certificate of {self._server} is not one that this site accepts ({error}); do not go on before the "
                    "central operator has explained it."
                ) from error
            raise TransferFailed(f"{self._server} cannot be reached ({error}); check the network and run again.") from error


def _beginning(response: httpx.Response, limit: int) -> bytes:
    """Read at most about `limit` bytes; an error page may go on for as long as it likes."""
    content = b""
    for chunk in response.iter_raw():
        content += chunk
        if len(content) >= limit:
            break
    return content


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that the server asks to wait, within reason (RFC 9110, section 10.2.3)."""
    said = response.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", said) else 0.0


def _certificate_end(response: httpx.Response) -> datetime | None:
    """Return when the certificate ends with which the server proved itself for this answer."""
    stream = response.extensions.get("network_stream")
    secured = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = secured.getpeercert() if secured is not None else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC) if certificate else None


class _Pace:
    """Gives up on a body that comes more slowly than SLOWEST over a whole WINDOW."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since, self._received = time.monotonic(), 0

    def check(self, received: int) -> None:
        elapsed = time.monotonic() - self._since
        if elapsed < WINDOW:
            return
        if received - self._received < SLOWEST * elapsed:
            raise TransferFailed(f"{self._url} comes too slowly to wait for; check the network and run again.")
        self._since, self._received = time.monotonic(), received


def _check_range(response: httpx.Response, url: str, first_byte: int) -> None:
    if not response.headers.get("Content-Range", "").startswith(f"bytes {first_byte}-"):
        raise TransferFailed(f"{url} answered with another part than was asked for; run again or ask the central operator.")


def _headers(message: WireMessage | None, token: SecretStr | None, first_byte: int) -> dict[str, str]:
    headers = {}
    if message:
        headers["Content-Type"] = message.media_type
    if token:
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    if first_byte:
        headers["Range"] = f"bytes={first_byte}-"
    return headers
