"""Flower's real processes, as `superlink`, `join` and `proxy-config` set them up: what works, and what is refused."""

from __future__ import annotations

import hashlib
import io
import ssl
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from fakes.connect_proxy import connect_proxy
from fakes.federation import Federation, listening, needs_nginx, places_in, wait_for, watched
from fakes.federation_parts import SECRET
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from c2lst_client.audit import read_entries
from c2lst_server.federation.control import Control, open_control
from c2lst_server.federation.keys_in_step import active_keys
from c2lst_server.federation.link import Link
from c2lst_server.federation.nginx import FLEET
from c2lst_server.federation.transport import FlowerTransport
from c2lst_server.rounds.transport import Message
from c2lst_shared.errors import TransferFailed
from c2lst_shared.flower.fab import ROUND, build_fab
from c2lst_shared.flower.tasks import Tasks

pytestmark = [pytest.mark.slow, pytest.mark.federation, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Two sites at a centre, everything running."""
    needs_nginx()
    made = Federation(tmp_path_factory.mktemp("federation"))
    made.prepare()
    try:
        made.start_nginx()
        made.start_api()
        made.start_centre()
        for site in ("a", "b"):
            made.enrol(site)
            made.start_site(site)
        wait_for(lambda: _online(made) == 2, 60, "both sites are linked")
        yield made
    finally:
        made.stop_all()


def test_round_reaches_the_named_site_only(federation: Federation) -> None:
    answers = federation.ask([{"site": "a", "request": "named one"}, {"site": "a", "request": "named two"}], 60)

    assert answers["a: named one"] == "answer to named one"
    assert answers["a: named two"] == "answer to named two"
    assert not [line for line in federation.heard("b") if line.startswith("named")]


def test_exception_leaves_as_a_number_and_not_as_text(federation: Federation) -> None:
    words = ("raise it", "nonsense", "long")
    answers = federation.ask([{"site": "b", "request": word, "tries": 1} for word in words], 90)

    assert set(words) <= set(federation.heard("b")), "the site was asked"
    assert not {f"b: {word}" for word in words} & set(answers), "and nothing came of it"
    left = [entry.content for entry in read_entries(federation.site("b") / "audit.log") if entry.message == "Error"]
    assert left == [{"code": 2}] * 3, "the audit log has the numbers that left"
    log = (federation.site("b") / "federation" / "app.log").read_text()
    assert "RuntimeError" in log, "the site's own log says what ..."
    assert "federation_parts.py" in log, "... and where"
    everything = [path for path in federation.centre.rglob("*") if path.is_file()] + [federation.log("centre")]
    everything.append(federation.site("b") / "federation" / "app.log")  # its words may be those of a patient's file
    leaked = [path for path in everything if SECRET.encode() in path.read_bytes() or b"Traceback" in path.read_bytes()]
    assert not leaked, "neither SuperLink's database nor any log of the centre has a word of it, nor the site's own log"


def test_site_that_says_nothing_is_asked_again_after_a_minute(federation: Federation) -> None:
    answers = federation.ask([{"site": "b", "request": "silent", "tries": 1}, {"site": "b", "request": "after it"}], 150)

    assert "silent" in federation.heard("b")
    assert "b: silent" not in answers
    assert answers["b: after it"] == "answer to after it"


def test_outside_reaches_the_fleet_paths_and_nothing_else_of_superlink(federation: Federation) -> None:
    with httpx.Client(base_url=federation.url, verify=ssl.create_default_context(cafile=str(federation.ca))) as outside:
        for path in FLEET:
            unsigned = outside.post(f"/v1/fleet/{path}", content=b"", headers={"content-type": "application/protobuf"})
            assert unsigned.status_code in {400, 401, 415, 422}, (path, unsigned.status_code)
            assert outside.get(f"/v1/fleet/{path}").status_code == 403
        closed = (
            "/v1/fleet/register-node",
            "/v1/fleet/unregister-node",
            "/v1/fleet/",
            "/v1/control/list-nodes",
            "/v1/control/start-run",
            "/v1/runtime/acquire-task",
            "/v1/runtime/push-messages",
            "/v1/fleet/../control/list-nodes",
            "/v1/fleet/pull-messages/../../control/start-run",
            "/v1/fleet/pull-messages%2f..%2f..%2fcontrol%2fstart-run",
            "/v1//control/start-run",
            "/V1/control/start-run",
            "/v1/responses",
            "/health",
            "/docs",
            "/openapi.json",
        )
        for path in closed:
            found = outside.build_request("POST", "/")
            found.url = found.url.copy_with(raw_path=path.encode())
            answer = outside.send(found)
            assert answer.status_code in {404, 405}, (path, answer.status_code)
            assert "flwr" not in answer.text.lower(), path
            assert "superlink" not in answer.text.lower(), path
        assert outside.get("/healthz").json()["status"] == "ok", "the rest is the service"


def test_this_machine_needs_the_secrets_too(federation: Federation) -> None:
    link = _link(federation)
    protobuf = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    with httpx.Client(verify=ssl.create_default_context(cafile=str(link.certificate))) as local:
        here = f"https://{link.address}"
        assert local.post(f"{here}/v1/control/list-nodes", content=b"", headers=protobuf).status_code == 401
        wrong = {**protobuf, "authorization": "Bearer guessed"}
        assert local.post(f"{here}/v1/control/list-nodes", content=b"", headers=wrong).status_code == 401
        assert local.post(f"{here}/v1/runtime/acquire-task", content=b"", headers=protobuf).status_code == 401
        assert local.post(f"{here}/v1/runtime/get-nodes", content=b"", headers=protobuf).status_code == 401
    for port in listening(psutil.Process(federation.child("a", "node"))):
        found = httpx.post(f"http://127.0.0.1:{port}/v1/runtime/acquire-task", content=b"", headers=protobuf)
        assert found.status_code == 401


def test_processes_listen_on_this_machine_only(federation: Federation) -> None:
    for supervisor in ("centre", "a", "b"):
        for process in federation.children(supervisor):
            addresses = {found.laddr.ip for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN}
            assert addresses <= {"127.0.0.1"}, process.cmdline()


def test_secrets_are_for_the_owner_only(federation: Federation) -> None:
    held = ("node.key", "tasks.secret", "control.token", "private.key", "app.log", "node.log", "superlink.log")
    found = [path for path in federation.folder.rglob("*") if path.name in held]

    assert {path.name for path in found} == set(held)
    assert {path.stat().st_mode & 0o077 for path in found} == {0}
    folders = [_link(federation).database.parent, federation.site("a") / "federation"]
    assert {path.stat().st_mode & 0o077 for path in folders} == {0}


def test_second_supervisor_in_a_home_is_told_that_there_is_one(federation: Federation) -> None:
    with pytest.raises(AssertionError, match="Another `c2lst-client join` runs"):
        federation.client("a", "join")
    with pytest.raises(AssertionError, match="Another `c2lst-server superlink` runs"):
        federation.server("superlink")


def test_health_checks_go_by_what_superlink_sees(federation: Federation) -> None:
    check = ("join", "--check", "--grace", "0")
    assert "the centre sees this site online" in federation.client("a", *check)
    assert "and answers; sites online: a, b." in federation.server("superlink", "--check", "--grace", "0")
    assert "Sites online      a, b\n" in federation.server("status")

    node = psutil.Process(federation.child("a", "node"))
    node.suspend()  # it lives, and says nothing: so does one that lost its link
    try:
        wait_for(lambda: _online(federation) == 1, 90, "SuperLink has given a up")
        with pytest.raises(AssertionError, match="The centre has not heard of this site's node since 20"):
            federation.client("a", *check)
        assert "the centre sees this site online" in federation.client("b", *check), "each site sees itself"
        assert "sites online: b." in federation.server("superlink", "--check")
    finally:
        node.resume()
    wait_for(lambda: _online(federation) == 2, 90, "a is linked again")
    assert "the centre sees this site online" in federation.client("a", *check)


def test_suspended_site_is_cut_off_and_comes_back_when_resumed(federation: Federation) -> None:
    federation.server("sites", "suspend", "b")
    wait_for(lambda: _online(federation) == 1, 30, "SuperLink knows b no more")
    federation.ask([{"site": "b", "request": "are you there", "tries": 1}, {"site": "a", "request": "and you"}], 60)
    assert "are you there" not in federation.heard("b")
    assert "and you" in federation.heard("a"), "the other site is not held up"

    federation.server("sites", "resume", "b")
    wait_for(lambda: _online(federation) == 2, 90, "b is linked again, with the key that was taken off")
    assert "b: back" in federation.ask([{"site": "b", "request": "back"}], 60)


def test_site_with_a_new_key_is_linked_again_and_the_old_key_is_not(federation: Federation) -> None:
    with open_control(_link(federation)) as control:
        before = {node.public_key_pem: node.node_id for node in control.nodes() if node.online}

    federation.client("a", "rotate-key")

    def changed() -> bool:
        with open_control(_link(federation)) as control:
            now = {node.public_key_pem for node in control.nodes() if node.online}
        return len(now) == 2 and len(now - set(before)) == 1

    wait_for(changed, 90, "the new key is linked and the old one is not")
    assert "a: with a new key" in federation.ask([{"site": "a", "request": "with a new key"}], 60)


def test_orderly_stop_ends_everything_and_lets_the_next_one_in(federation: Federation) -> None:
    children = federation.children("b")
    assert len(children) == 2

    assert federation.stop("b") == 0

    assert not [child for child in children if child.is_running()]
    federation.start_site("b")
    wait_for(lambda: len(federation.children("b")) == 2, 20, "b runs again")


def _link(federation: Federation) -> Link:
    return Link(federation.centre / "superlink", federation.link_port)


def _online(federation: Federation) -> int:
    try:
        with open_control(_link(federation)) as control:
            return sum(node.online for node in control.nodes())
    except TransferFailed:
        return 0


# ---- a centre that turned against its sites


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Federation]:
    """A SuperLink whose runs the test itself drives, and a site that expects our FAB."""
    needs_nginx()
    made = Federation(tmp_path)
    made.prepare()
    try:
        made.start_nginx()
        made.start_api()
        made.start_centre(bare=True)
        made.enrol("a")
        made.start_site("a")
        wait_for(lambda: _online(made) == 1, 60, "the site is linked")
        yield made
    finally:
        made.stop_all()


def test_changed_fab_does_not_run(hostile: Federation) -> None:
    ran = hostile.folder / "the-FAB-ran"
    changed = _with_code(f"import pathlib; pathlib.Path({str(ran)!r}).write_text('x')\n")
    with open_control(_link(hostile)) as control:
        control.start_run(build_fab(), {ROUND: "x"})
        assert _exchange(hostile, control, b"with our FAB") == {"a": b"answer to with our FAB"}
        control.start_run(changed, {ROUND: "x"})
        assert _exchange(hostile, control, b"with another FAB") == {}

    assert hostile.heard("a") == ["with our FAB"], "the site's handler was not called"
    assert not ran.exists()
    assert not list((hostile.site("a") / "federation").rglob("*.py")), "nothing of any FAB was unpacked"
    log = (hostile.site("a") / "federation" / "app.log").read_text()
    assert hashlib.sha256(changed).hexdigest() in log
    children = {child.pid for child in hostile.children("a")}
    assert children == {hostile.child("a", "node"), hostile.child("a", "app")}, "no process was started for it"


def _with_code(code: str) -> bytes:
    """Our FAB with a line more in each module."""
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(build_fab())) as ours, zipfile.ZipFile(archive, "w") as changed:
        for name in ours.namelist():
            content = ours.read(name)
            changed.writestr(name, code.encode() + content if name.endswith(".py") else content)
    return archive.getvalue()


def _exchange(federation: Federation, control: Control, body: bytes) -> dict[str, bytes]:
    """Drive the run that waits, as whoever holds the centre's secrets could."""
    from flwr.common.serde import run_from_proto
    from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
    from flwr.supercore.task_identity import TaskIdentity
    from flwr.superlink.grid import HttpGrid

    link = _link(federation)
    pem = link.certificate.read_bytes()
    tasks = Tasks(link.address, link.tasks_secret.read_bytes(), "flwr-serverapp", ca_pem=pem)
    with tasks:
        _task, token = wait_for(tasks.next, 20, "a run waits")
    grid = HttpGrid(link.address, root_certificates=pem, token=token)
    with tasks.open(token) as client:
        given = client.PullTaskInput(PullTaskInputRequest())
        grid.set_run(run_from_proto(given.run))
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = (
            given.task_id,
            given.run.run_id,
            given.context.node_id,
        )
        engine = create_engine(f"sqlite:///{federation.centre / 'c2lst.sqlite3'}")
        with Session(engine) as session:
            keys = active_keys(session)
        found = FlowerTransport(grid, control, lambda: keys).exchange([Message("a", "status", body)], timeout=20)
        client.PushTaskOutput(PushTaskOutputRequest(sub_status="completed", details=""))
    grid.close()
    engine.dispose()
    return found


# ---- where a site connects to


def test_site_behind_a_proxy_goes_through_it(hostile: Federation) -> None:
    hostile.stop("a")
    with connect_proxy() as (url, asked):
        hostile.start_site("a", C2LST_PROXY=url)
        wait_for(lambda: _online(hostile) == 1, 60, "the site is linked")
        with open_control(_link(hostile)) as control:
            control.start_run(build_fab(), {ROUND: "x"})
            assert _exchange(hostile, control, b"through it") == {"a": b"answer to through it"}
        node = psutil.Process(hostile.child("a", "node"))
        ends = {found.raddr.port for found in node.net_connections("inet") if found.raddr and found.status == "ESTABLISHED"}
        hostile.stop("a")

    assert set(asked) == {("CONNECT", f"127.0.0.1:{hostile.public_port}")}
    assert hostile.public_port not in ends


def test_no_process_of_a_site_connects_to_anything_but_the_server(hostile: Federation) -> None:
    hostile.stop("a")
    trace = hostile.folder / "connections.txt"
    hostile.start_site("a", before=watched(trace))
    wait_for(lambda: _online(hostile) == 1, 60, "the site is linked")
    with open_control(_link(hostile)) as control:
        control.start_run(build_fab(), {ROUND: "x"})
        assert _exchange(hostile, control, b"while watched") == {"a": b"answer to while watched"}
    runtime = {port for child in hostile.children("a") for port in listening(child)}
    hostile.stop("a")

    assert places_in(trace) == {("127.0.0.1", port) for port in (hostile.public_port, *runtime)}
