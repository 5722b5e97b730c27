"""A centre in the middle of its work, for pictures and tests in a browser: releases, sites, trainings, rounds in all states.

All of it goes through the functions that commands call, but for what only time or sites bring about: that is put into the
database as those would leave it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_demo.tissue import Stain, make_fields, paint
from c2lst_server import administrators
from c2lst_server.actions import Via, act_as, act_as_operator
from c2lst_server.administrators import Scope
from c2lst_server.db.models import ACTIVE, AdministratorAction, Round, RoundSite, Site, Training
from c2lst_server.publishing.withdraw import withdraw
from c2lst_server.rounds import store as rounds
from c2lst_server.rounds.store import RoundPlan
from c2lst_server.sites import registry
from c2lst_server.training.pictures import save_grid
from c2lst_server.trainings import store as trainings
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_shared.presets import get_preset
from c2lst_shared.wire import (
    ArmResult,
    ChangeEstimate,
    CorrelationEstimate,
    LossEstimate,
    RoundResult,
    Withheld,
)
from fakes.central import Central, tiny_weights

STAINS = {
    "mob": Stain((0.65, 0.70, 0.29), (0.10, 0.94, 0.33), 1.7, 0.8, (241, 240, 243)),
    "breast": Stain((0.60, 0.72, 0.34), (0.16, 0.90, 0.40), 1.9, 1.0, (243, 240, 242)),
    "kidney": Stain((0.68, 0.68, 0.28), (0.12, 0.92, 0.36), 1.5, 0.9, (240, 241, 244)),
}
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Tokens:
    """Of the administrators."""

    writer: str  # ada, who may do everything
    reader: str  # grace, who may look


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def fill(central: Central) -> Tokens:
    """Put everything in."""
    with central.session() as session:
        act_as_operator(session)
        tokens = Tokens(
            administrators.add(session, "ada", list(Scope), days=90),
            administrators.add(session, "grace", administrators.scopes_of(["read"]), days=60),
        )
    _add_releases(central)
    with central.session() as session:
        _add_sites(central, session)
        _add_rounds(central, session)
        _add_trainings(central, session)
        _spread(session)
    return tokens


def draw_grid(path: Path, organ: str, *, seed: int, noise: float = 0.0) -> None:
    """Save a grid of patches as a backbone of this organ would draw them; `noise` for one that is not trained yet."""
    rng = np.random.default_rng(seed)
    fields = make_fields(rng, (256, 512), 1.4)
    slide = paint(rng, fields, STAINS.get(organ, STAINS["mob"]), 1.4)
    patches = np.stack([slide[y : y + 64, x : x + 64] for y in range(0, 256, 64) for x in range(0, 512, 64)])
    if noise:
        blend = (1 - noise) * patches + noise * rng.normal(190, 45, patches.shape)
        patches = np.clip(blend, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_grid(path, patches, columns=8)


def loss_curve(steps: int, *, seed: int = 0, points: int = 120) -> list[tuple[int, float]]:
    """A curve as pretraining leaves it."""
    rng = np.random.default_rng(seed)
    at: npt.NDArray[np.int64] = np.linspace(steps / points, steps, points).astype(int)
    losses = 0.041 + 0.55 * np.exp(-at / 420) + 0.06 * np.exp(-at / 3000) + rng.normal(0, 0.0018, points)
    return [(int(step), round(float(loss), 5)) for step, loss in zip(at, losses, strict=True)]


def _add_releases(central: Central) -> None:
    for run, organ, seed in (
        ("mob-small", "mob", 1),
        ("mob-small-2", "mob", 2),
        ("breast-small", "breast", 3),
        ("kidney-tiny", "kidney", 4),
    ):
        _publish(central, run, organ, seed)
    with central.session() as session:
        act_as_operator(session)
        withdraw(central.home, central.keyring, "kidney", 1, "Two slides of the corpus were of another organ.")


def _publish(central: Central, run: str, organ: str, seed: int) -> None:
    from c2lst_server.publishing.publish import publish

    central.add_run(run, organ=organ, weights=tiny_weights(seed), preset=get_preset("tiny" if "tiny" in run else "small"))
    for old in (central.home.run(run) / "samples").glob("*.png"):
        old.unlink()
    draw_grid(central.home.run(run) / "samples" / "step_009000.png", organ, seed=seed)
    about = {
        "mob": "Mouse olfactory bulb, eleven sections of one laboratory.",
        "breast": "HER2-positive breast cancer, three whole sections.",
    }
    with central.session() as session:
        act_as_operator(session)
        publish(central.home, session, central.keyring, run, organ=organ, summary=about.get(organ, ""))


def _add_sites(central: Central, session: Session) -> None:
    seen = {
        "charite-berlin": (ago(minutes=3), "0.1.0"),
        "karolinska": (ago(minutes=12), "0.1.0"),
        "san-raffaele": (ago(hours=2), "0.1.0"),
        "leiden-umc": (ago(days=11), "0.0.9"),
        "st-thomas": (ago(minutes=40), "0.1.0"),
    }
    for number, (name, (last, software)) in enumerate(seen.items()):
        session.add(
            Site(
                name=name,
                state=ACTIVE,
                added=ago(days=40 - number),
                enrolled=ago(days=39 - number),
                last_seen=last,
                software=software,
                server="https://central.example.org",
                key_fingerprint=f"{number + 3:x}" * 64,
            )
        )
    session.commit()
    act_as(session, "ada", Via.DASHBOARD)
    registry.suspend(session, "st-thomas")
    registry.invite(
        session, central.home, "rigshospitalet", registry.Address("https://central.example.org"), out=central.home.path / "file"
    )


def _add_rounds(central: Central, session: Session) -> None:
    act_as(session, "ada", Via.DASHBOARD)
    old = rounds.start(
        session, central.home, _plan("mob", ("charite-berlin", "karolinska", "san-raffaele", "leiden-umc")), ago(days=5)
    )
    new = rounds.start(
        session, central.home, _plan("breast", ("charite-berlin", "karolinska", "san-raffaele", "leiden-umc")), ago(hours=5)
    )
    first = rounds.find(session, old.round_id)
    first.closed = ago(days=2)
    for row, seed in zip(first.sites, (1, 2, 3, 4), strict=True):
        row.offered, row.answered = ago(days=5), ago(days=2, hours=seed)
        if row.site == "leiden-umc":
            row.state, row.error = "failed", "disk"
        else:
            row.state, row.result = "finished", result(old.round_id, seed).model_dump_json()
    _running(rounds.find(session, new.round_id))
    session.commit()


def _running(row: Round) -> None:
    states: dict[str, dict[str, object]] = {
        "charite-berlin": {
            "state": "running",
            "stage": "adapt",
            "step": 430,
            "steps": 800,
            "eta_seconds": 1520,
            "answered": ago(minutes=1),
        },
        "karolinska": {"state": "waiting", "answered": ago(minutes=4)},
        "san-raffaele": {"state": "finished", "answered": ago(minutes=50), "result": result(row.round_id, 7).model_dump_json()},
        "leiden-umc": {
            "state": "running",
            "stage": "cotrain",
            "step": 2,
            "steps": 9,
            "answered": ago(hours=3),
            "unreachable_since": ago(hours=3),
        },
    }
    site: RoundSite
    for site in row.sites:
        for name, value in states[site.site].items():
            setattr(site, name, value)


def result(round_id: str, seed: int) -> RoundResult:
    """What a site might send."""
    rng = np.random.default_rng(seed)
    r, shift = 0.72 + 0.1 * rng.random(), 0.01 * seed
    held = seed == 3
    return RoundResult(
        round_id=round_id,
        train_spots=int(rng.integers(60, 420)),
        held_out_spots=int(rng.integers(180, 1200)),
        genes=250,
        denoising_loss=LossEstimate(value=0.043 + shift / 3, low=0.041 + shift / 3, high=0.046 + shift / 3),
        conditioning_r=CorrelationEstimate(value=r, low=r - 0.06, high=r + 0.05),
        concordance=CorrelationEstimate(value=r - 0.1, low=r - 0.17, high=r - 0.03),
        arms=()
        if held
        else (
            ArmResult(kind="real", seeds=3, mae=LossEstimate(value=0.848, low=0.841, high=0.855)),
            ArmResult(
                kind="real+synthetic",
                ratio=5,
                seeds=3,
                mae=LossEstimate(value=0.83, low=0.824, high=0.836),
                change=ChangeEstimate(value=-0.03 + shift, low=-0.046 + shift, high=-0.013 + shift),
            ),
        ),
        seconds=int(rng.integers(1800, 9000)),
        peak_memory_mib=None if held else int(rng.integers(900, 2400)),
        withheld=(
            Withheld(metric="change", reason="policy"),
            Withheld(metric="mae", reason="policy"),
            Withheld(metric="peak_memory", reason="policy"),
        )
        if held
        else (),
    )


def _plan(organ: str, sites: tuple[str, ...]) -> RoundPlan:
    return RoundPlan(organ=organ, sites=sites, deadline_hours=168)


def _add_trainings(central: Central, session: Session) -> None:
    images = central.home.path / "images"
    for name in ("breast-sections", "kidney-slides", "lung-slides"):
        (images / name).mkdir(parents=True)
    settings = central.settings.model_copy(update={"images": images})
    act_as(session, "ada", Via.DASHBOARD)
    for run, organ, folder in (
        ("kidney-small", "kidney", "kidney-slides"),
        ("breast-long", "breast", "breast-sections"),
        ("lung-small", "lung", "lung-slides"),
        ("lung-paper", "lung", "lung-slides"),
    ):
        trainings.queue(session, settings, TrainingPlan(organ=organ, images=folder, run=run))
    values: dict[str, dict[str, object]] = {
        "kidney-small": {
            "state": "finished",
            "started": ago(hours=9),
            "ended": ago(hours=7),
            "updated": ago(hours=7),
            "stage": "pretrain",
            "step": 9000,
            "steps": 9000,
            "loss": 0.0412,
            "curve": json.dumps(loss_curve(9000)),
            "metrics": '{"validation_loss": 0.0431}',
        },
        "breast-long": {
            "state": "running",
            "started": ago(minutes=48),
            "updated": ago(seconds=4),
            "lease_until": NOW + timedelta(days=2),
            "owner": "t",
            "stage": "pretrain",
            "step": 5230,
            "steps": 9000,
            "eta_seconds": 2150,
            "loss": 0.0467,
            "curve": json.dumps(loss_curve(5230, seed=5)),
        },
        "lung-small": {
            "state": "failed",
            "started": ago(hours=26),
            "ended": ago(hours=25),
            "updated": ago(hours=25),
            "stage": "corpus",
            "step": 14,
            "steps": 60,
            "error": "bad_input",
            "detail": "/srv/images/lung-slides/7.tif has no scale",
        },
    }
    for run, changes in values.items():
        row = session.scalars(select(Training).where(Training.run_id == run)).one()
        for name, value in changes.items():
            setattr(row, name, value)
        organ = run.partition("-")[0]
        if run != "lung-small":
            for number, step in enumerate((1000, 2000, 3000, 4000, 5000)):
                draw_grid(
                    central.home.run(run) / "samples" / f"step_{step:06}.png",
                    organ,
                    seed=40 + number,
                    noise=max(0.0, 0.55 - 0.13 * number),
                )
    session.commit()


def _spread(session: Session) -> None:
    """Let what was done have been done over some days."""
    rows = session.scalars(select(AdministratorAction).order_by(AdministratorAction.id)).all()
    for number, row in enumerate(rows):
        row.at = ago(hours=7.3 * (len(rows) - number) - 6)
    session.commit()
