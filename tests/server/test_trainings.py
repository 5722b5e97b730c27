"""Trainings as they are queued, seen, cancelled and resumed: by commands, over HTTP, and who may."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes.central import Central, serving
from PIL import Image
from typer.testing import CliRunner

from c2lst_server.administrators import Scope, add
from c2lst_server.cli import app
from c2lst_server.errors import NotThere
from c2lst_server.settings import Settings
from c2lst_server.trainings import store
from c2lst_server.trainings.images import find_images, image_folders
from c2lst_server.trainings.job_queue import Claimed, Report, TrainingQueue
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.store import TrainingView
from c2lst_shared.errors import BadInput, C2lstError


@pytest.fixture
def settings(central: Central, tmp_path: Path) -> Settings:
    """A centre whose operator allows two folders, one of them by a link, and has other things lying about."""
    root, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    for folder in (root / "mob-sections", root / ".hidden", elsewhere / "breast", tmp_path / "secret"):
        folder.mkdir(parents=True)
    (root / "a-file").write_text("")
    (root / "breast").symlink_to(elsewhere / "breast")
    central.settings = central.settings.model_copy(update={"images": root})
    return central.settings


def queue(central: Central, **changes: object) -> TrainingView:
    plan = TrainingPlan.model_validate({"organ": "mob", "images": "mob-sections", "preset": "tiny"} | changes)
    with central.session() as session:
        return store.queue(session, central.settings, plan)


def claim(central: Central) -> Claimed:
    claimed = TrainingQueue(central.engine).claim("one")
    assert claimed is not None
    return claimed


# ---- which images


def test_folders_in_the_one_place_may_be_named_and_nothing_else(settings: Settings) -> None:
    assert [folder.name for folder in image_folders(settings)] == ["breast", "mob-sections"]
    assert find_images(settings, "mob-sections") == settings.images_root / "mob-sections"


@pytest.mark.parametrize(
    "name", ["../secret", "..", ".", "", "/etc", ".hidden", "a-file", "mob-sections/../../secret", "mob-sections/", "secret"]
)
def test_path_instead_of_a_name_finds_no_images(central: Central, settings: Settings, name: str) -> None:
    with pytest.raises(NotThere, match=r"no folder of images .*; there are: breast, mob-sections"):
        find_images(settings, name)
    with pytest.raises(ValueError if set(name) & {"/"} or name[:1] in {"", "."} else NotThere):
        queue(central, images=name)


def test_without_the_setting_nothing_is_trained_on(central: Central) -> None:
    assert image_folders(central.settings) == []
    with pytest.raises(BadInput, match="set C2LST_SERVER_IMAGES"):
        queue(central)


# ---- queueing


def test_what_is_left_open_is_filled_in(central: Central, settings: Settings) -> None:
    view = queue(central)
    assert (view.state, view.run, view.plan.steps) == ("queued", "mob-tiny", 2000)


def test_name_of_a_run_is_taken_once(central: Central, settings: Settings) -> None:
    first = queue(central)
    with pytest.raises(BadInput, match=rf"Run 'mob-tiny' is that of training {first.training_id} \(queued\)"):
        queue(central, seed=1)


def test_name_of_a_run_is_taken_once_by_many_at_once(central: Central, settings: Settings) -> None:
    refused = []

    def try_it() -> None:
        try:
            queue(central)
        except BadInput as error:
            refused.append(str(error))

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert all("is that of training" in sentence for sentence in refused)


@pytest.mark.parametrize(
    "changes",
    [{"run": "../x"}, {"organ": "Mob!"}, {"preset": "huge"}, {"steps": 0}, {"um_per_px": 0}, {"seed": -1}, {"path": "/etc"}],
    ids=str,
)
def test_plan_is_closed(central: Central, settings: Settings, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        queue(central, **changes)


def test_database_from_before_is_brought_up_to_date_and_back(central: Central) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import inspect

    from c2lst_server.db.session import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    for turn, there in ((lambda: command.downgrade(config, "0003"), False), (lambda: command.upgrade(config, "head"), True)):
        with central.engine.begin() as connection:
            config.attributes["connection"] = connection
            turn()
        assert inspect(central.engine).has_table("trainings") is there


# ---- cancelling and resuming


def test_what_waits_is_cancelled_at_once_and_resumed(central: Central, settings: Settings) -> None:
    queue(central)
    with central.session() as session:
        assert store.cancel(session, "mob-tiny").state == "cancelled"
        assert TrainingQueue(central.engine).claim("one") is None
        with pytest.raises(BadInput, match="is over, so there is nothing to cancel"):
            store.cancel(session, "mob-tiny")
        assert store.resume(session, "mob-tiny").state == "queued"
        with pytest.raises(BadInput, match="is queued; only one that was cancelled or failed"):
            store.resume(session, "mob-tiny")
    assert claim(central).plan.run == "mob-tiny"


def test_what_runs_is_asked_to_stop(central: Central, settings: Settings) -> None:
    queue(central)
    claimed = claim(central)
    with central.session() as session:
        assert store.cancel(session, "mob-tiny").state == "cancelling"
        assert store.cancel(session, "mob-tiny").state == "cancelling"
    jobs = TrainingQueue(central.engine)
    assert jobs.beat(claimed, 60) == "cancel"
    jobs.put_back(claimed)  # it had to stop for another reason at the same time
    with central.session() as session:
        view = store.show(session, "mob-tiny")
    assert view.state == "cancelled"
    assert view.ended is not None


def test_what_nobody_works_on_any_more_is_cancelled_at_once(central: Central, settings: Settings) -> None:
    queue(central)
    claim(central)
    later = datetime.now(UTC) + timedelta(hours=1)
    with central.session() as session:
        assert store.show(session, "mob-tiny", now=later).state == "stalled"
        assert store.cancel(session, "mob-tiny", now=later).state == "cancelled"


def test_training_that_is_not_there_is_named(central: Central, settings: Settings) -> None:
    known = queue(central)
    with central.session() as session, pytest.raises(NotThere, match=rf"'x' names no training; .*: {known.training_id} "):
        store.show(session, "x")


# ---- over HTTP


@pytest.fixture
def http(central: Central, settings: Settings) -> Iterator[httpx.Client]:
    with central.session() as session:
        token = add(session, "ada", [Scope.READ_TRAININGS, Scope.WRITE_TRAININGS], days=1)
    headers = {"Authorization": f"Bearer {token}"}
    with (
        serving(central),
        httpx.Client(base_url=f"{central.url}/api/v1/admin", headers=headers, trust_env=False) as client,
    ):
        yield client


PLAN = {"organ": "mob", "images": "mob-sections", "preset": "tiny", "um_per_px": 2.75}


def test_training_over_http_from_the_queue_to_its_end(central: Central, http: httpx.Client) -> None:
    assert http.get("/images").json() == [{"name": "breast", "corpus": False}, {"name": "mob-sections", "corpus": False}]
    made = http.post("/trainings", json=PLAN)
    assert (made.status_code, made.json()["state"], made.json()["run"]) == (201, "queued", "mob-tiny")
    where = f"/trainings/{made.json()['training_id']}"
    assert http.get(f"{where}/samples").status_code == 404
    claimed, jobs = claim(central), TrainingQueue(central.engine)
    jobs.beat(claimed, 60, Report("pretrain", 500, 2000, 90, 500, 0.25, [(250, 0.5), (500, 0.25)]))
    shown = http.get(where).json()
    assert (shown["state"], shown["step"], shown["steps"], shown["eta_seconds"], shown["loss"]) == (
        "running",
        500,
        2000,
        90,
        0.25,
    )
    assert shown["curve"] == [{"step": 250, "loss": 0.5}, {"step": 500, "loss": 0.25}]
    samples = central.home.run("mob-tiny") / "samples"
    samples.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(samples / "step_000500.png")
    picture = http.get(f"{where}/samples")
    assert (picture.headers["Content-Type"], picture.content) == ("image/png", (samples / "step_000500.png").read_bytes())
    assert http.post(f"{where}/cancel").json()["state"] == "cancelling"
    jobs.cancelled(claimed)
    assert http.post(f"{where}/resume").json()["state"] == "queued"
    jobs.finish(claim(central), {"validation_loss": 0.04})
    assert http.get(where).json()["metrics"] == {"validation_loss": 0.04}
    (listed,) = http.get("/trainings").json()
    assert (listed["state"], "curve" in listed) == ("finished", False)
    assert http.post(f"{where}/cancel").status_code == 422


def test_path_in_place_of_a_name_is_refused_over_http(http: httpx.Client) -> None:
    for images, status in (("../secret", 422), ("/etc", 422), ("secret", 404), (".hidden", 422), ("breast/..", 422)):
        assert http.post("/trainings", json=PLAN | {"images": images}).status_code == status, images
    assert http.post("/trainings", json=PLAN | {"run": "../../x"}).status_code == 422
    assert http.get("/trainings").json() == []


def test_error_of_a_training_is_shown_over_http_by_its_class_alone(central: Central, http: httpx.Client) -> None:
    http.post("/trainings", json=PLAN)
    TrainingQueue(central.engine).fail(claim(central), "bad_input", "/srv/patients/MRN-4711.svs holds no scale")
    answer = http.get("/trainings/mob-tiny")
    assert answer.json()["error"] == "bad_input"
    assert "MRN-4711" not in answer.text + http.get("/trainings").text
    with central.session() as session:
        assert store.why(session, "mob-tiny") == "/srv/patients/MRN-4711.svs holds no scale"


def test_trainings_need_their_own_scopes(central: Central, http: httpx.Client) -> None:
    with central.session() as session:
        reader = {"Authorization": f"Bearer {add(session, 'reader', [Scope.READ_TRAININGS], days=1)}"}
        others = {"Authorization": f"Bearer {add(session, 'other', [Scope.READ_SITES, Scope.WRITE_SITES], days=1)}"}
    assert http.get("/trainings", headers=reader).status_code == 200
    assert http.post("/trainings", json=PLAN, headers=reader).status_code == 403
    for call in ("/trainings", "/images", "/trainings/x", "/trainings/x/samples"):
        assert http.get(call, headers=others).status_code == 403, call
    for call in ("/trainings/x/cancel", "/trainings/x/resume"):
        assert http.post(call, headers=reader).status_code == 403, call


# ---- commands


def run(central: Central, *words: str) -> tuple[int, str]:
    variables = {"C2LST_SERVER_IMAGES": str(central.settings.images_root), "C2LST_SERVER_HOME": str(central.home.path)}
    done = CliRunner().invoke(app, ["trainings", *words], env=variables)
    if isinstance(done.exception, C2lstError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_commands_queue_list_show_cancel_and_resume(central: Central, settings: Settings) -> None:
    plan = ["--organ", "mob", "--images", "mob-sections", "--preset", "tiny"]
    assert json.loads(run(central, "queue", *plan, "--dry-run", "--json")[1])["run"] == "mob-tiny"
    assert run(central, "list") == (0, "No training yet.\n")
    assert "Next: c2lst-server trainings show" in run(central, "queue", *plan)[1]
    assert "mob-tiny" in run(central, "list")[1]
    assert json.loads(run(central, "list", "--json")[1])[0]["state"] == "queued"
    assert "is cancelled" in run(central, "cancel", "mob-tiny")[1]
    assert run(central, "show", "mob-tiny", "--watch")[1].endswith("resume " + queue_id(central) + "\n")
    assert json.loads(run(central, "resume", "mob-tiny", "--json")[1])["state"] == "queued"
    TrainingQueue(central.engine).fail(claim(central), "bad_input", "The images have no scale; pass --um-per-px.")
    shown = run(central, "show", "mob-tiny")[1]
    assert "failed (bad input)" in shown
    assert "Error     The images have no scale; pass --um-per-px." in shown
    assert json.loads(run(central, "show", "mob-tiny", "--json")[1])["detail"].startswith("The images")


def queue_id(central: Central) -> str:
    with central.session() as session:
        return store.show(session, "mob-tiny").training_id


def test_command_names_the_option_that_cannot_be_used(central: Central, settings: Settings) -> None:
    code, text = run(central, "queue", "--organ", "mob", "--images", "../x")
    assert (code, text.partition(":")[0]) == (2, "--images cannot be '../x'")
    code, text = run(central, "queue", "--organ", "mob", "--images", "mob-sections", "--um-per-px", "0")
    assert (code, text.partition(":")[0]) == (2, "--um-per-px cannot be 0.0")
    code, text = run(central, "queue", "--organ", "mob", "--images", "mob-sections", "--preset", "huge")
    assert (code, text) == (2, "--preset cannot be 'huge': There is no preset 'huge'; choose one of tiny, small, paper.")
