"""Nothing that was planted in a site's files is in what leaves it: a whole round, and one that fails, by the real transport.

`c2lst-client join` runs as a site runs it. All that it sends, headers and bodies, to Flower and to the service, is recorded
where TLS ends.
"""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from fakes.canaries import found_in
from fakes.central import Central
from fakes.federation import Federation, needs_nginx, wait_for
from fakes.recording_proxy import Recording, recording_proxy
from fakes.small_site import SmallSite, grid_counts, h_and_e
from fakes.toy_release import BACKBONE, TOY
from safetensors.numpy import load_file

from c2lst_client.audit import read_entries
from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import change_policy
from c2lst_client.sites import add_site
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.panel import Panel
from c2lst_server.rounds.store import list_rounds
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.wire import RoundResult, parse_answer

pytestmark = [pytest.mark.slow, pytest.mark.federation, pytest.mark.timeout(900)]

FOLDER, PATIENT, GENE, BARCODE = "canarypath9182", "MRN48271133", "CanaryGene77", "CANARYBARCODE"
COUNT = 482_713_056  # of nine digits, which no clock and no identifier has by chance; float32 holds it exactly
OVER = {"finished", "failed", "declined", "cancelled"}
WINDOW = 16  # bytes of an array that make a pattern


@dataclass
class Round:
    """What a round left: everything that was recorded, and the site."""

    recording: Recording
    home: Home
    result: RoundResult
    failed: str  # what the site alone knows of the other round


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """Two rounds at one site: the second cannot read its spots, which are gone by then."""
    needs_nginx()
    folder = tmp_path_factory.mktemp("canary") / FOLDER
    federation = Federation(folder)
    federation.prepare()
    central = Central(federation.centre)
    central.publish("first", weights=build_backbone(BACKBONE, seed=0).state_dict(), preset=TOY)
    certificate, key = folder / "nginx" / "server.pem", folder / "nginx" / "server.key"
    try:
        federation.start_nginx()
        federation.start_api()
        federation.start_command("centre", "c2lst_server", "superlink", "--port", str(federation.link_port))
        with recording_proxy(certificate, key, federation.ca, federation.public_port) as recording:
            federation.enrol("a", url=recording.url)
            home = Home(federation.site("a"))
            raw = _plant(home, folder / "raw")
            federation.start_command("a", "c2lst_client", "join", "--json")
            first = _start(federation, "--evaluate", "--cotrain", "--seeds", "1", "--ratio", "1")
            second = _start(federation, "--no-evaluate", "--no-cotrain")
            queue = JobQueue(home.round_queue)
            wait_for(lambda: (home.round(first) / "adapter").exists(), 150, "the spots of the first round are prepared")
            raw.rename(raw.with_suffix(".gone"))

            wait_for(lambda: _states(central) <= OVER, 240, "the centre knows that both rounds are over")

            federation.stop("a")
            result = queue.get(first).result
            assert result is not None, queue.get(first)
            yield Round(recording, home, result, queue.get(second).detail or "")
    finally:
        central.engine.dispose()
        federation.stop_all()


def _plant(home: Home, folder: Path) -> Path:
    """Write a slide with patterns in everything that it has, add it to the site, and return its file."""
    rng = np.random.default_rng(7)
    counts = grid_counts(12)
    counts[:, 3] = COUNT + 32 * rng.integers(0, 9, 49)
    pixels = h_and_e().copy()
    pixels[300:316, 300:316] = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    raw = SmallSite(
        counts=counts,
        genes=["Dense", *[f"{GENE}{number}" for number in range(11)]],
        barcodes=[f"{BARCODE}-{number}" for number in range(49)],
        pixels=pixels,
        name=PATIENT,
    )
    path = raw.write_h5ad(folder)
    add_site(home, "demo", organ="mob", spots=path, image=path.with_suffix(".png"), um_per_px=2.78)
    change_policy(home, {"mode": "auto"})
    return path


def _start(federation: Federation, *asked: str) -> str:
    words = ("rounds", "start", "--organ", "mob", "--sites", "a", "--steps", "6", "--fraction", "0.5", "--json", *asked)
    return str(json.loads(federation.server(*words))["round_id"])


def _states(central: Central) -> set[str]:
    with central.session() as session:
        return {site.state for each in list_rounds(session) for site in each.sites}


# ---- what is looked for


def words() -> list[bytes]:
    """Names and numbers as text."""
    texts = (PATIENT, GENE, BARCODE, FOLDER, str(COUNT)[:7])
    return [text.encode(code) for text in texts for code in ("utf-8", "utf-16-le")]


def windows(values: npt.NDArray[Any], *kinds: str) -> Iterator[bytes]:
    """Parts of each row's bytes, in each kind of number and both orders of bytes."""
    for kind in kinds:
        for order in "<>":
            for row in values.astype(f"{order}{kind}").reshape(len(values), -1):
                content = row[:24].tobytes()
                yield from (content[start : start + WINDOW] for start in range(0, len(content) - WINDOW + 1, WINDOW))


@pytest.fixture(scope="module")
def patterns(ended: Round) -> dict[str, list[bytes]]:
    """What may not leave, by what it is."""
    work = ended.home.round(ended.result.round_id)
    spots, panel = PairSet.open(work / "spots"), Panel.load(work / "adapter" / "panel.json")
    synthetic = PairSet.open(work / "synthetic")
    adapter = load_file(work / "adapter" / "diffusion_pytorch_model.safetensors")
    counts = spots.counts.toarray()
    patches, made = (pairs.patches(range(len(pairs))) for pairs in (spots, synthetic))
    found = {
        "words": words(),
        "counts": list(windows(counts, "f4", "f8", "i4", "i8")),
        "gene vectors": list(windows(panel.transform(spots.counts, spots.genes), "f2", "f4", "f8")),
        "patches": [*windows(patches, "u1"), *windows(patches / 127.5 - 1, "f4"), *windows(patches[:, 8, :, 0], "u1")],
        "synthetic patches": list(windows(made, "u1")),
        "synthetic expression": list(windows(synthetic.counts.toarray(), "f4", "f8")),
        "adapter": [window for tensor in adapter.values() for window in windows(tensor.reshape(1, -1), "f4")],
    }
    telling = {name: sorted({each for each in some if len(set(each)) > 3}) for name, some in found.items()}
    assert all(telling.values()), {name: len(some) for name, some in telling.items()}
    return telling


# ---- the tests


def test_nothing_planted_is_in_what_left(ended: Round, patterns: dict[str, list[bytes]]) -> None:
    left = ended.recording.content()

    found = set(found_in(left, (each for some in patterns.values() for each in some)))
    assert {name: leaked for name, some in patterns.items() if (leaked := found.intersection(some))} == {}
    small = left.lower()
    assert not [word for word in words() if word.lower() in small]
    print(f"{len(left)} bytes recorded, {sum(map(len, patterns.values()))} patterns searched: ", end="")
    print(", ".join(f"{len(some)} {name}" for name, some in patterns.items()))


def test_recording_has_all_that_left(ended: Round) -> None:
    """Both ways are in it, whole, and with them what was declared: the audit log says what that is."""
    left = ended.recording.content()
    for path in (b"POST /v1/fleet/push-object ", b"POST /v1/fleet/pull-messages ", b"GET /tuf/", b"POST /api/v1/"):
        assert path in left, path
    assert b"transfer-encoding: chunked" not in left.lower(), "no body is in parts, which a pattern could lie across"
    entries = [entry for entry in read_entries(ended.home.audit_log) if entry.kind == "round"]
    assert {"RoundResult", "RoundStatus"} <= {entry.message for entry in entries}
    bodies = {parse_answer(json.dumps(entry.content).encode()).body() for entry in entries}
    assert [body for body in bodies if body not in left] == []
    assert ended.result.withheld == ()


def test_error_stayed_where_its_words_are(ended: Round) -> None:
    assert PATIENT in ended.failed
    assert FOLDER in ended.failed
    left = ended.recording.content()
    assert b'"error":"bad_input"' in left


def _in_gzip(pattern: bytes) -> bytes:
    return gzip.compress(b"what comes before it, " + pattern + b" and after")


HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda pattern: pattern,
    "hex": lambda pattern: b"a=" + pattern.hex().upper().encode(),
    "base64": lambda pattern: base64.b64encode(b"ab" + pattern + b"z"),
    "gzip": lambda pattern: _in_gzip(pattern) + b"and more",
    "zlib": zlib.compress,
    "gzip in base64": lambda pattern: base64.urlsafe_b64encode(_in_gzip(pattern)),
}


@pytest.mark.parametrize("path", ["/v1/fleet/push-object", "/api/v1/health"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_planted_leak_is_recorded_and_found(ended: Round, patterns: dict[str, list[bytes]], hidden: str, path: str) -> None:
    """The same search finds what a site that leaks would have sent by the same way."""
    leaks = [patterns["words"][0], patterns["gene vectors"][5], patterns["patches"][7]]
    before = len(ended.recording.content())
    trust = ssl.create_default_context(cafile=str(ended.home.path.parent / "ca.pem"))
    body = b"".join(HIDDEN[hidden](leak) + b"\n" for leak in leaks)
    httpx.post(f"{ended.recording.url}{path}", content=body, verify=trust, trust_env=False)

    left = ended.recording.content()

    assert len(left) > before + len(body)
    assert found_in(left[before:], leaks) == leaks
