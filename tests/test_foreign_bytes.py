"""Whatever the bytes are that come from elsewhere, they are read, or refused in our own words: no parser falls over.

Readers of spots, images and bundles, and access assertions, have such tests of their own beside their other ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import PASSPHRASE, Central
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata

from c2lst_client.audit import AuditLog, Entry, verify_chain
from c2lst_client.home import Home
from c2lst_client.trust.enrol import _read_file as read_enrolment_file
from c2lst_client.trust.pinned import load_enrolment
from c2lst_client.trust.refusals import refusals
from c2lst_client.trust.seen import load_seen
from c2lst_server.publishing.keys import open_key
from c2lst_server.publishing.staging import read_staged, stage_renewal
from c2lst_server.runs import load_run
from c2lst_server.sites.enrolment import key_fingerprint
from c2lst_server.sites.registry import read_ca
from c2lst_shared.errors import C2lstError
from c2lst_shared.release.manifest import MANIFEST, WEIGHTS, parse_manifest
from c2lst_shared.release.weights import check_weights, load_weights, read_specs, sha256_of

Read = Callable[[bytes], object]


class Samples:
    """A right file of each kind, and how it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        central = Central(folder / "central")
        central.publish("first")
        weights = central.served(WEIGHTS)
        specs = read_specs(weights)
        stage_renewal(central.home, out=folder / "staged.json")
        for _ in range(3):
            AuditLog(folder / "audit.log").append(Entry(method="GET", path="/healthz", bytes_out=0, bytes_in=9))
        public = ec.generate_private_key(ec.SECP384R1()).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        site = Home(folder / "site")
        run = central.home.run("first") / "run.json"
        self.right: dict[str, tuple[bytes, Read]] = {
            "manifest": (central.served(MANIFEST).read_bytes(), parse_manifest),
            "weights, checked": (weights.read_bytes(), self._file(lambda path: check_weights(path, specs))),
            "weights, loaded": (
                weights.read_bytes(),
                self._file(lambda path: load_weights(path, specs, sha256=sha256_of(path))),
            ),
            "weights, listed": (weights.read_bytes(), self._file(read_specs)),
            "enrolment file": (central.invite(folder / "file").read_bytes(), self._file(read_enrolment_file)),
            "enrolment": (b"{}", self._as(site.enrolment, lambda: load_enrolment(site))),
            "what was seen": (b'{"clock":"2026-11-25T08:00:00Z"}', self._as(site.seen, lambda: load_seen(site))),
            "audit log": ((folder / "audit.log").read_bytes(), self._file(verify_chain)),
            "metadata": (central.newest("mob").read_bytes(), self._metadata),
            "staged file": ((folder / "staged.json").read_bytes(), self._file(read_staged)),
            "record of a run": (run.read_bytes(), self._as(run, lambda: load_run(central.home, "first"))),
            "private key": (
                (central.home.keys / "root-1.pem").read_bytes(),
                self._file(lambda path: open_key(path, lambda: PASSPHRASE)),
            ),
            "public key": (pem, lambda content: key_fingerprint(content.decode("latin-1"))),
            "certificates": (b"-----BEGIN CERTIFICATE-----\nMHYw\n-----END CERTIFICATE-----\n", self._file(read_ca)),
        }
        central.engine.dispose()

    def _file(self, read: Callable[[Path], object]) -> Read:
        path = self._folder / "bytes"
        return self._as(path, lambda: read(path))

    @staticmethod
    def _as(path: Path, read: Callable[[], object]) -> Read:
        def write_and_read(content: bytes) -> object:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return read()

        return write_and_read

    @staticmethod
    def _metadata(content: bytes) -> object:
        with refusals():
            return Metadata.from_bytes(content)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


KINDS = [
    "manifest",
    "weights, checked",
    "weights, loaded",
    "weights, listed",
    "enrolment file",
    "enrolment",
    "what was seen",
    "audit log",
    "metadata",
    "staged file",
    "record of a run",
    "private key",
    "public key",
    "certificates",
]


def test_every_kind_is_tried_and_its_right_file_read(samples: Samples) -> None:
    assert sorted(KINDS) == sorted(samples.right)
    for kind, (content, read) in samples.right.items():
        if kind != "enrolment":  # whose sample is an empty record
            read(content)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_are_read_or_refused(samples: Samples, kind: str, data: st.DataObject) -> None:
    right, read = samples.right[kind]
    content = data.draw(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode), spoilt(right)))
    with suppress(C2lstError):
        read(content)


@st.composite
def spoilt(draw: st.DrawFn, right: bytes) -> bytes:
    """The right file with a piece of it replaced, doubled or missing."""
    begin = draw(st.integers(0, len(right)))
    end = draw(st.integers(begin, min(len(right), begin + 40)))
    return right[:begin] + draw(st.one_of(st.binary(max_size=40), st.just(right[begin:end] * 2))) + right[end:]
