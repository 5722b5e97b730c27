"""A small central service for tests: real keys, real signatures, a real server on loopback; only the run is made up."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tuf.api.metadata import TargetFile

from c2lst_server.app import create_app
from c2lst_server.db.models import Base
from c2lst_server.db.session import migrate, open_database
from c2lst_server.home import Home
from c2lst_server.publishing.initialise import initialise
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.publish import publish
from c2lst_server.publishing.repository import LIFETIME, Repository, editing, sign
from c2lst_server.runs import RunRecord, save_run
from c2lst_server.serve import Listener, configured, stopping_server
from c2lst_server.settings import Settings
from c2lst_server.sites.registry import Address, invite
from c2lst_shared.presets import PRESETS, Preset, get_preset
from c2lst_shared.release.manifest import Manifest, StainReference
from c2lst_shared.release.targets import served_path, target_path
from c2lst_shared.release.weights import save_weights
from fakes.postgres import Postgres

PASSPHRASE = "correct horse battery"
STAIN = StainReference(method="macenko", matrix=((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), max_concentration=(1.9, 1.0))


def tiny_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Two tensors that stand for a backbone."""
    generator = torch.Generator().manual_seed(seed)
    return {"conv.weight": torch.randn(4, 3, 3, 3, generator=generator), "conv.bias": torch.randn(4, generator=generator)}


class Central:
    """A home with keys, one database and, when `serving`, an address.

    Every change goes through the functions that the commands call.
    """

    def __init__(self, path: Path, database_url: str | None = None) -> None:
        self.settings = Settings(home=path, database_url=database_url or f"sqlite:///{path}/c2lst.sqlite3")
        self.home = Home(path)
        self.url = "http://127.0.0.1:9"  # nobody listens there
        if not self.home.keys.exists():
            initialise(self.home, PASSPHRASE)
        migrate(self.settings)
        self.engine: Engine = open_database(self.settings)
        self.keyring = Keyring(self.home.keys, lambda: PASSPHRASE)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a database session."""
        with Session(self.engine) as session:
            yield session

    def copy(self, path: Path, postgres: Postgres | None = None) -> Central:
        """Return another service with the same keys, releases and sites; with `postgres`, its database is a copy there."""
        shutil.copytree(self.home.path, path)
        return Central(path, postgres.new(like=self.settings.database) if postgres else None)

    def stored(self) -> bytes:
        """Return all that the database holds, to look for what it should not."""
        if self.engine.dialect.name == "sqlite":
            self.engine.dispose()
            return self.home.database.read_bytes()
        with self.engine.connect() as connection:
            tables = [connection.execute(table.select()).all() for table in Base.metadata.sorted_tables]
        return repr(tables).encode()

    def add_run(
        self,
        run_id: str,
        *,
        organ: str = "mob",
        weights: dict[str, torch.Tensor] | None = None,
        preset: Preset | None = None,
    ) -> RunRecord:
        """Leave behind what a finished training run leaves behind."""
        preset, now = preset or get_preset("tiny"), datetime.now(UTC)
        record = RunRecord(
            run_id=run_id,
            organ=organ,
            preset=preset.name,
            state="finished",
            started=now,
            finished=now,
            backbone=preset.backbone,
            diffusion=preset.diffusion,
            stain=STAIN,
            training=preset.pretraining,
            seed=0,
            steps_done=preset.pretraining.steps,
            images=11,
            tiles=4200,
            metrics={"validation_loss": 0.041},
            software={"torch": "2.6.0"},
        )
        folder = self.home.run(run_id)
        save_weights(folder / "weights.safetensors", weights or tiny_weights())
        (folder / "samples").mkdir()
        for step in (500, 1200):
            Image.new("RGB", (8, 8), (step % 256, 90, 160)).save(folder / "samples" / f"step_{step:06}.png")
        save_run(self.home, record)
        return record

    def publish(
        self,
        run_id: str,
        *,
        organ: str = "mob",
        weights: dict[str, torch.Tensor] | None = None,
        preset: Preset | None = None,
    ) -> Manifest:
        """Add a run and make the next release from it; a preset that only the test has is known meanwhile."""
        record = self.add_run(run_id, organ=organ, weights=weights, preset=preset)
        with self.session() as session, patch.dict(PRESETS, {record.preset: preset or get_preset(record.preset)}):
            return publish(self.home, session, self.keyring, run_id, organ=organ, summary="Made for a test.")

    def invite(self, out: Path, *, name: str = "hospital-a", ca_pem: str | None = None, now: datetime | None = None) -> Path:
        """Write an enrolment file for a site and return where."""
        with self.session() as session:
            invite(session, self.home, name, Address(self.url, ca_pem), out=out, now=now)
        return out

    def sign_release(self, number: int, content: dict[str, bytes], *, organ: str = "mob") -> None:
        """Sign files as a release without looking at them, as a mistaken or bad publisher might."""
        files = {}
        for name, data in content.items():
            path = target_path(organ, number, name)
            files[path] = TargetFile.from_data(path, data, ["sha256"])
            served = self.home.targets / served_path(path, files[path].hashes["sha256"])
            served.parent.mkdir(parents=True, exist_ok=True)
            served.write_bytes(data)
        with editing(self.home, self.keyring) as repository:
            repository.add(organ, files)
            repository.commit(new=files)

    def age_timestamp(self, *, days: float) -> None:
        """Sign a timestamp as if that had been some days ago."""
        repository = Repository(self.home, self.keyring, datetime.now(UTC))
        timestamp = repository.timestamp()
        timestamp.version += 1
        timestamp.expires = (datetime.now(UTC) + LIFETIME["timestamp"] - timedelta(days=days)).replace(microsecond=0)
        self.newest("timestamp").write_bytes(sign(timestamp, self.keyring.signers("timestamp")))

    def served(self, name: str, *, organ: str = "mob", number: int = 1) -> Path:
        """Return where one file of a release is served from."""
        (path,) = (self.home.targets / organ / str(number)).glob(f"*.{name}")
        return path

    def newest(self, role: str) -> Path:
        """Return where the newest metadata of a role is served from."""
        if role == "timestamp":
            return self.home.metadata / "timestamp.json"
        return max(self.home.metadata.glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0]))


@contextmanager
def serving(central: Central, *, tls: tuple[Path, Path] | None = None, application: FastAPI | None = None) -> Iterator[Central]:
    """Serve it on a free port of loopback while the body runs; the port queues requests until the server is up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cert, key = tls or (None, None)
        application = application or create_app(central.settings)
        server = stopping_server(application, configured(application, Listener(tls_cert=cert, tls_key=key), logging=None))
        thread = threading.Thread(target=_run, args=(server, listener))
        before, central.url = central.url, f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        thread.start()
        try:
            yield central
        finally:
            server.should_exit = True
            thread.join()
            central.url = before


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    run: Callable[..., None] = server.run
    with listener:  # a server that does not come up refuses its clients, and does not let them wait
        run(sockets=[listener])
