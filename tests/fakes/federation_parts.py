"""What stands for rounds in tests of the federation's processes: a driver that counts, and a site that remembers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from c2lst_client.home import Home
from c2lst_server.rounds.transport import Message, Transport
from c2lst_server.settings import Settings
from c2lst_shared.errors import TransferFailed

ROUND = "0123456789abcdef"
SECRET = "MRN-4711-top-secret"


def handle(home: Home, request: bytes) -> bytes:
    """Answer a request as its words say; each that was heard is written down."""
    with (home.path / "heard.txt").open("ab") as heard:
        heard.write(request + b"\n")
    if request.startswith(b"raise"):
        raise RuntimeError(f"{SECRET} in {home.path}")
    if request.startswith(b"silent"):
        return b""
    if request.startswith(b"nonsense"):
        return SECRET.encode()
    if request.startswith(b"long"):
        return b"answer " + b"x" * 20_000
    if request.startswith(b"slow"):
        time.sleep(float(request.split()[1]))
    return b"answer to " + request


def check(body: bytes) -> None:
    if not body.startswith(b"answer "):
        raise ValueError(f"no answer: {SECRET}")


def open_rounds(_session: object) -> list[str]:
    """The one round, until the driver has written that it is done."""
    plan = _plan()
    return [] if plan is None or plan.with_suffix(".done").exists() else [ROUND]


def drive(settings: Settings, round_id: str, transport: Transport, stop: Callable[[], bool]) -> None:
    """Ask what the plan says, each until it is answered or may be given up; go on after a restart where it was."""
    plan = _plan_at(settings.folders.path)
    assert round_id == ROUND
    told = json.loads(plan.read_text())
    answers = plan.with_suffix(".answers")
    for step in told["steps"]:
        key = f"{step['site']}: {step['request']}"
        tries = 0
        while not stop() and key not in _known(answers) and tries < step.get("tries", 1000):
            tries += 1
            try:
                found = transport.exchange([Message(step["site"], "status", step["request"].encode())], timeout=told["timeout"])
            except TransferFailed:
                time.sleep(1)
                continue
            if step["site"] in found:
                _note(answers, {key: found[step["site"]].decode()})
            else:
                time.sleep(0.5)
        if stop():
            return
        time.sleep(step.get("pause", 0))
    plan.with_suffix(".done").write_text("done")


def write_plan(home: Path, steps: list[dict[str, Any]], timeout: float = 10) -> None:
    plan = _plan_at(home)
    plan.with_suffix(".done").unlink(missing_ok=True)
    plan.write_text(json.dumps({"steps": steps, "timeout": timeout}))


def read_answers(home: Path) -> dict[str, str]:
    return _known(_plan_at(home).with_suffix(".answers"))


def is_done(home: Path) -> bool:
    return _plan_at(home).with_suffix(".done").exists()


def _plan_at(home: Path) -> Path:
    return home / "plan.json"


def _plan() -> Path | None:
    plan = _plan_at(Settings().folders.path)
    return plan if plan.exists() else None


def _known(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {key: value for line in lines for key, value in json.loads(line).items()}


def _note(path: Path, answer: dict[str, str]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(answer) + "\n")
