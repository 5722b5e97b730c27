"""A site's state folder in the middle of its life, for the console: enrolled, two slides, rounds in every state, a record.

Everything that an outsider can name is a parameter, so that a test can plant hostile text in all of it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_client.adaptation_record import PANEL, RECORD, SPLIT, AdaptationRecord, AdaptationSettings
from c2lst_client.audit import AuditLog, Entry
from c2lst_client.home import Home
from c2lst_client.rounds.gate import let_out
from c2lst_client.rounds.job_queue import Decision, JobQueue
from c2lst_client.rounds.leases import Leases
from c2lst_client.sites import Site, SiteRecord
from c2lst_client.spots.pairs import PairWriter
from c2lst_client.spots.panel import Panel
from c2lst_client.spots.prepare import KIND as PREPARED
from c2lst_client.synthesise import KIND as SYNTHETIC
from c2lst_client.trust.pinned import Enrolment
from c2lst_shared import atomic, journal
from c2lst_shared.presets import AdapterConfig, TrainingConfig
from c2lst_shared.wire import (
    ArmResult,
    ChangeEstimate,
    CorrelationEstimate,
    LossEstimate,
    RoundResult,
    RoundStatus,
)
from fakes.report_data import conditioning_result, cotrain_result, split_of, spot_table
from fakes.round_site import offer
from fakes.small_site import grid_centres, h_and_e

WAITING, RUNNING, QUEUED, FINISHED, FAILED, DECLINED = (f"{digit}{'0' * 15}" for digit in "abcdef")
SERVER = "https://central.example.org"
PX = 64  # of patches
TURNS = (lambda each: each, lambda each: each[:, :, ::-1], lambda each: each[:, ::-1], lambda each: each.swapaxes(1, 2))
REPORT = """<!doctype html><html lang="en"><head><title>Report</title><style>h1 { color: #4a3f8f }</style></head>
<body><h1>Report of the slide</h1><script>document.title = "a script ran"</script>
<img src="https://elsewhere.example/x.png" alt="">
</body></html>"""


def enrol(home: Home, *, server: str = SERVER) -> None:
    """Write down an enrolment; nothing is signed."""
    root = b'{"signed": "as good as"}'
    atomic.write_bytes(home.pinned_root, root)
    record = Enrolment(
        site="hospital-a",
        server=server,
        root_sha256=hashlib.sha256(root).hexdigest(),
        ca_pem=None,
        key_fingerprint="ab" * 32,
        enrolled=datetime.now(UTC),
    )
    atomic.write_text(home.enrolment, record.model_dump_json())


def add_slide(
    home: Home,
    name: str = "rep11",
    *,
    organ: str = "mob",
    spots: str = "/data/rep11",
    barcode: str = "spot-",
    gene: str = "Gene",
    verdict: str = "The error falls by 2.1 % (95 % interval 1.2 % to 3.0 %). Synthetic pairs help here.",
    step: str = "adapt",
    report: str = REPORT,
) -> Site:
    """Write what all steps of the journey leave of a slide, with real pictures and made-up numbers."""
    site = Site(home.site(name), SiteRecord(name=name, organ=organ, spots=Path(spots)))
    site.record.save(site.folder / "site.json")
    barcodes = [f"{barcode}{number:04}" for number in range(49)]
    genes = [f"{gene}{number}" for number in range(12)]
    patches = _patches()
    write_pairs(site.spots, barcodes, patches, genes, provenance={"kind": PREPARED})
    table = spot_table()
    split = split_of(table).model_copy(update={"train": tuple(barcodes[::4]), "test": tuple(barcodes[1::4])})
    write_pairs(site.conditioning, split.test, _blurred(patches[1::4]), genes, provenance={"kind": "patches of held-out spots"})
    sources = [each for each in split.train for _ in range(4)]
    write_pairs(
        site.synthetic,
        [f"synthetic-{number:06}" for number in range(len(sources))],
        np.stack([turned(_blurred(patches[::4])) for turned in TURNS], axis=1).reshape(-1, PX, PX, 3),
        genes,
        provenance={"kind": SYNTHETIC, "expression": "interpolated"},
        obs={"source": sources},
    )
    settings = AdaptationSettings(
        fraction=0.25,
        method="random",
        seed=0,
        genes=len(genes),
        adapter=AdapterConfig(hidden_dim=4),
        training=TrainingConfig(steps=800, micro_batch=8, learning_rate=1e-3),
    )
    record = AdaptationRecord(release=f"{organ}/1", weights_sha256="0" * 64, spots="", panel="", split="", settings=settings)
    record.save(site.adapter / RECORD)
    Panel(genes=tuple(genes), mean=(0.0,) * 12, sd=(1.0,) * 12, target_sum=1.0, train_spots=13).save(site.adapter / PANEL)
    split.save(site.adapter / SPLIT)
    cotrained, _ = cotrain_result(table, split_of(table))
    atomic.write_text(site.cotrain / "result.json", cotrained.model_copy(update={"verdict": verdict}).model_dump_json())
    atomic.write_text(site.conditioning / "result.json", conditioning_result(split_of(table)).model_dump_json())
    entry = journal.Entry(step=step, belongs_to="", finished=datetime.now(UTC), seconds=125, peak_rss_mib=2048)
    atomic.write_text(site.folder / journal.JOURNAL, journal.Journal(entries=[entry]).model_dump_json())
    atomic.write_text(site.report, report)
    atomic.write_text(site.study / "study.html", report)
    return site


def write_pairs(
    folder: Path,
    barcodes: Sequence[str],
    patches: npt.NDArray[np.uint8],
    genes: Sequence[str],
    *,
    provenance: dict[str, object],
    obs: dict[str, list[str]] | None = None,
) -> None:
    """Write finished pairs."""
    with PairWriter(
        folder,
        barcodes=barcodes,
        expression=np.zeros((len(barcodes), len(genes)), np.float32),
        genes=genes,
        image_px=patches.shape[1],
        coords=np.zeros((len(barcodes), 2)),
        obs=obs,
        provenance=provenance,
    ) as writer:
        writer.append(patches)
        writer.finish()


def add_rounds(home: Home, *, detail: str = "BadInput: /data/rep11 cannot be read.", slide: str = "rep11") -> None:
    """Put a round of each state into the queue."""
    queue, leases = JobQueue(home.round_queue), Leases(home.round_queue)
    full = {"evaluate": True, "cotrain": True, "steps": 5000, "hours": 12, "seeds": 3, "ratios": (2, 5)}
    soon = datetime.now(UTC) + timedelta(days=6)

    def receive(round_id: str, state: str, **changes: object) -> None:
        reason = "steps" if state == "declined" else None
        queue.receive(
            offer(round_id, **(full | {"deadline": soon} | changes)),
            lambda: Decision(state, reason, slide),  # type: ignore[arg-type]
        )

    for round_id in (FAILED, FINISHED, RUNNING):
        receive(round_id, "queued")
        claimed = leases.claim("console", lease=86_400)
        assert claimed is not None
        assert claimed.round_id == round_id
        if round_id == FAILED:
            leases.fail(round_id, "console", "bad_input", detail)
        if round_id == FINISHED:
            leases.finish(round_id, "console", result(round_id))
    leases.progress(RUNNING, "console", stage="adapt", step=1200, steps=5000, eta=2400, done=1200)
    receive(QUEUED, "queued", release=2)
    receive(DECLINED, "declined", steps=900_000)
    receive(WAITING, "waiting", release=3)


def result(round_id: str) -> RoundResult:
    """What a round measured."""
    return RoundResult(
        round_id=round_id,
        train_spots=64,
        held_out_spots=198,
        genes=250,
        denoising_loss=LossEstimate(value=0.0417, low=0.0391, high=0.0444),
        conditioning_r=CorrelationEstimate(value=0.71, low=0.61, high=0.79),
        concordance=CorrelationEstimate(value=0.6, low=0.5, high=0.7),
        arms=(
            ArmResult(kind="real", seeds=3, mae=LossEstimate(value=0.848, low=0.83, high=0.87)),
            ArmResult(
                kind="real+synthetic",
                ratio=5,
                seeds=3,
                mae=LossEstimate(value=0.83, low=0.81, high=0.85),
                change=ChangeEstimate(value=-0.021, low=-0.03, high=-0.012),
            ),
            ArmResult(
                kind="synthetic",
                ratio=5,
                seeds=3,
                mae=LossEstimate(value=0.874, low=0.85, high=0.9),
                change=ChangeEstimate(value=0.031, low=0.008, high=0.05),
            ),
        ),
        seconds=7240,
        peak_memory_mib=5210,
    )


def add_record(home: Home, *, path: str = "/api/v1/token", content: str = "***") -> AuditLog:
    """Write some lines of the audit log: requests, a download, answers in rounds, an export."""
    log = AuditLog(home.audit_log)
    log.append(Entry(method="GET", path="/tuf/metadata/timestamp.json", bytes_out=0, bytes_in=712, status=200))
    log.append(
        Entry(
            method="POST",
            path=path,
            bytes_out=731,
            bytes_in=118,
            status=200,
            message="TokenRequest",
            content={"grant_type": "client_credentials", "client_assertion": content},
        )
    )
    log.append(Entry(method="GET", path="/healthz", bytes_out=0, bytes_in=0))
    let_out(
        RoundStatus(round_id=RUNNING, state="running", stage="adapt", step=1200, steps=5000), log, asked="status", received=70
    )
    let_out(result(FINISHED), log, asked="status", received=70)
    log.append(
        Entry(
            kind="export",
            method="COPY",
            path="/srv/out/pairs",
            bytes_out=4_812_330,
            bytes_in=0,
            message=SYNTHETIC,
            content={"site": "rep11", "pairs": 52, "privacy": "allowed"},
        )
    )
    return log


def set_slide_of_round(home: Home, round_id: str, slide: str) -> None:
    """Write a name into the queue that no command would take."""
    with sqlite3.connect(home.round_queue) as connection:
        connection.execute("UPDATE rounds SET slide = ? WHERE round_id = ?", (slide, round_id))
    connection.close()


def lively_home(folder: Path) -> Home:
    """Return a state folder with all of it."""
    home = Home(folder)
    enrol(home)
    add_slide(home)
    add_rounds(home)
    add_record(home)
    return home


def _patches() -> npt.NDArray[np.uint8]:
    slide = h_and_e()
    half = PX // 2
    return np.stack([slide[int(y) - half : int(y) + half, int(x) - half : int(x) + half] for x, y in grid_centres()])


def _blurred(patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Patches that look as if somebody had made them of these."""
    from scipy import ndimage

    mirrored = patches[:, ::-1]
    return ndimage.gaussian_filter(mirrored.astype(float), (0, 0.9, 0.9, 0)).clip(0, 255).astype(np.uint8)
