"""What a process holds while it works: memory, open files, threads, processor time, and the size of a database's log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Watch:
    """Looks at a process until told to stop."""

    process: psutil.Process
    every: float  # seconds
    wal: Path | None = None  # the write-ahead log of its database
    rows: list[dict[str, float]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        began = time.monotonic()
        while True:
            with self.process.oneshot():
                memory = self.process.memory_info()
                row = {
                    "seconds": round(time.monotonic() - began, 1),
                    "rss_mib": round(memory.rss / 2**20, 2),
                    "files": self.process.num_fds(),
                    "threads": self.process.num_threads(),
                    "cpu_seconds": round(sum(self.process.cpu_times()[:2]), 2),
                }
            if self.wal is not None:
                row["wal_mib"] = round(self.wal.stat().st_size / 2**20, 2) if self.wal.exists() else 0.0
            self.rows.append(row)
            if self._over.wait(self.every):
                return

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def most(self, name: str) -> float:
        return max(row[name] for row in self.rows)
