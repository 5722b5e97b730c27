"""A proxy before the centre's own that ends TLS and keeps every byte which comes from a site, as it was before encryption."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Recording:
    """What came, one part for each connection: request lines, headers and bodies."""

    url: str = ""
    parts: list[bytearray] = field(default_factory=list)

    def content(self) -> bytes:
        return b"\n".join(bytes(part) for part in self.parts)


@contextmanager
def recording_proxy(certificate: Path, key: Path, authority: Path, port: int) -> Iterator[Recording]:
    """Listen on a free port of loopback with a server's certificate, and lead to the server at `port`."""
    recording, loop, ready = Recording(), asyncio.new_event_loop(), threading.Event()
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate, key)
    theirs = ssl.create_default_context(cafile=str(authority))

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        part = bytearray()
        recording.parts.append(part)
        with suppress(OSError):
            there, to_there = await asyncio.open_connection("127.0.0.1", port, ssl=theirs)
            out, back = asyncio.create_task(_pump(reader, to_there, part)), asyncio.create_task(_pump(there, writer, None))
            await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)
            out.cancel()
            back.cancel()
            await _close(to_there)
        await _close(writer)

    async def serve() -> None:
        server = await asyncio.start_server(lead, "127.0.0.1", 0, ssl=ours)
        recording.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        async with server:
            with suppress(asyncio.CancelledError):
                await server.serve_forever()
        open_ones = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    serving = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,), name="recording proxy")
    thread.start()
    assert ready.wait(10)
    try:
        yield recording
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
