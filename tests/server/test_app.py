"""The HTTP service gives out what is signed and nothing else."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import Central, serving

from c2lst_shared.release.manifest import parse_manifest
from c2lst_shared.wire import Catalogue, EnrolmentFile


@pytest.fixture(scope="module")
def served(template: Central, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    central = template.copy(tmp_path_factory.mktemp("served") / "central")
    with serving(central):
        yield central
    central.engine.dispose()


@pytest.fixture
def http(served: Central) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        yield client


def test_catalogue_lists_the_release(http: httpx.Client) -> None:
    (release,) = Catalogue.model_validate_json(http.get("/api/v1/releases").content).releases
    assert (release.name, release.preset, release.image_px, release.summary) == ("mob/1", "tiny", 64, "Made for a test.")


def test_release_is_its_manifest(http: httpx.Client, served: Central) -> None:
    signed = parse_manifest(served.served("manifest.json").read_bytes())
    assert parse_manifest(http.get("/api/v1/releases/mob/1").content) == signed


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/v1/releases/mob/2", 404, "There is no release mob/2."),
        ("/api/v1/releases/lung/1", 404, "There is no release lung/1."),
        ("/api/v1/releases/mob/first", 422, "path.number: Input should be a valid integer"),
        ("/tuf/metadata/2.root.json", 404, "There is no metadata file 2.root.json."),
        ("/tuf/metadata/root.json", 404, "There is no metadata file root.json."),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(http: httpx.Client, path: str, status: int, detail: str) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_metadata_is_served_as_it_was_signed(http: httpx.Client, served: Central) -> None:
    timestamp, root = http.get("/tuf/metadata/timestamp.json"), http.get("/tuf/metadata/1.root.json")
    assert timestamp.content == served.newest("timestamp").read_bytes()
    assert root.content == served.newest("root").read_bytes()
    assert timestamp.headers["cache-control"] == "no-cache"
    assert "immutable" in root.headers["cache-control"]


def test_part_of_a_file_can_be_asked_for(http: httpx.Client, served: Central) -> None:
    path = served.served("weights.safetensors")
    answer = http.get(f"/tuf/targets/mob/1/{path.name}", headers={"Range": "bytes=100-"})
    assert answer.status_code == 206
    assert answer.content == path.read_bytes()[100:]
    assert answer.headers["content-range"] == f"bytes 100-{path.stat().st_size - 1}/{path.stat().st_size}"


@pytest.mark.parametrize(
    "path",
    [
        "/tuf/targets/../../keys/snapshot.pem",
        "/tuf/targets/mob/../../../keys/snapshot.pem",
        "/tuf/targets/%2e%2e/%2e%2e/keys/snapshot.pem",
        "/tuf/targets/..%2f..%2fkeys%2fsnapshot.pem",
        "/tuf/targets/mob/1/..%5c..%5cx",
        "/tuf/targets//etc/passwd",
        "/tuf/targets/mob/1/",
        "/tuf/targets/mob/1/manifest.json",
        "/tuf/metadata/..%2f..%2fkeys%2fsnapshot.pem",
        "/tuf/metadata/../../keys/snapshot.pem",
        "/tuf/metadata/.lock",
        "/tuf/metadata/timestamp.json%00",
        "/tuf/.lock",
        "/tuf/",
    ],
)
def test_other_files_cannot_be_asked_for(served: Central, path: str) -> None:
    """Sent byte for byte, because clients tidy paths up before they send them."""
    answer = raw_get(served.url, path)
    assert answer.split(b" ", 2)[1] == b"404"
    assert b"PRIVATE KEY" not in answer


def raw_get(url: str, path: str) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_link_out_of_the_folder_is_not_a_way_around(served: Central) -> None:
    """Names are checked before the disk is looked at, so a stray file beside the metadata is not served."""
    stray = served.home.metadata / "notes.txt"
    stray.write_text("private")
    assert b" 404 " in raw_get(served.url, "/tuf/metadata/notes.txt").split(b"\r\n")[0]


def test_enrolment_with_a_used_token_is_forbidden(http: httpx.Client, served: Central, tmp_path: Path) -> None:
    token = EnrolmentFile.model_validate_json(served.invite(tmp_path / "file.json").read_bytes()).token.get_secret_value()
    pems = [
        ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for _ in range(2)
    ]
    first, second = (http.post("/api/v1/sites/enrol", json={"token": token, "public_key_pem": key.decode()}) for key in pems)
    assert (first.status_code, first.json()["site"]) == (200, "hospital-a")
    assert (second.status_code, second.json()["detail"][:36]) == (403, "This enrolment token was used alread")


def test_unreadable_request_is_answered_without_repeating_its_secrets(http: httpx.Client) -> None:
    answer = http.post("/api/v1/sites/enrol", json={"token": "s3cret", "public_key_pem": "s3cret too", "more": "s3cret"})
    assert answer.status_code == 422
    assert "body.public_key_pem" in answer.json()["detail"]
    assert "s3cret" not in answer.text


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
def test_endless_request_is_cut_off(http: httpx.Client, chunked: bool) -> None:
    body = b"x" * 100_000
    answer = http.post("/api/v1/sites/enrol", content=iter([body]) if chunked else body)
    assert (answer.status_code, answer.json()["detail"]) == (413, "The request is too long.")


def test_trouble_of_the_server_is_told_to_its_log_only(
    template: Central, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # listened to directly: log settings that another server left in this process may cut it off from the root
    log = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(logging.root.manager, "disable", 0)
    monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(log, "handlers", [*log.handlers, caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    central = template.copy(tmp_path / "central")
    central.served("manifest.json").write_bytes(b"{}")
    with serving(central), caplog.at_level(logging.ERROR, "uvicorn.error"):
        answer = httpx.get(f"{central.url}/api/v1/releases", trust_env=False)
    central.engine.dispose()
    assert (answer.status_code, answer.json()["detail"]) == (500, "The server has a problem of its own; its log says which.")
    assert "BadArtefact: The manifest's organ cannot be used" in caplog.text


def test_surprise_is_answered_without_a_trace(template: Central, tmp_path: Path) -> None:
    central = template.copy(tmp_path / "central")
    central.served("manifest.json").unlink()
    with serving(central):
        answer = httpx.get(f"{central.url}/api/v1/releases", trust_env=False)
    central.engine.dispose()
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert str(tmp_path) not in answer.text


def test_documentation_lists_every_call_and_loads_nothing(http: httpx.Client) -> None:
    page, schema = http.get("/api/v1/docs"), http.get("/api/v1/openapi.json").json()
    assert page.status_code == 200
    assert all(path in page.text for path in schema["paths"])
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text


def test_start_signs_an_old_timestamp_again(template: Central, tmp_path: Path) -> None:
    """What went out of date while the service was down is young before the first answer."""
    central = template.copy(tmp_path / "central")
    central.age_timestamp(days=8)
    stale = central.newest("timestamp").read_bytes()
    with serving(central):
        answer = httpx.get(f"{central.url}/tuf/metadata/timestamp.json", trust_env=False)
    central.engine.dispose()
    assert answer.json()["signed"]["version"] > 1
    assert answer.content != stale
