"""Every command in a block of README and docs is run, in a real shell; the tables here say what is done otherwise, and why.

So is every command of both programs that pages name in sentences only, or not at all.

The blocks of a page are run one after the other in one shell, beside a world that was made for it: a centre with releases, an
institution that is enrolled, slides. The tutorials have a test of their own (test_tutorials.py). Presets are short ones
(fakes/short_presets.py); what follows is all else that is not as the page has it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.central import PASSPHRASE, Central, serving
from fakes.federation import free_port
from fakes.page_runner import Step, run_steps
from fakes.postgres import postgres
from fakes.round_site import offer
from fakes.shell_blocks import blocks, shown_elsewhere, statements
from fakes.short_presets import SHORT
from fakes.tls import new_authority, server_files
from fakes.trace_collector import collecting
from fakes.tutorial import reader_environment
from fakes.typed_commands import commands
from PIL import Image

from c2lst_client.home import Home
from c2lst_client.rounds.handle import handle
from c2lst_client.settings import Settings
from c2lst_client.sites import add_site
from c2lst_client.trust.enrol import enrol
from c2lst_demo.phantom import make_phantom
from c2lst_shared.diffusion.backbone import build_backbone

ROOT = Path(__file__).parents[1]
FAKES = Path(__file__).parent / "fakes"
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.parent != TUTORIALS]
SHOWN = [page for page in PAGES if statements(page)]
OFFERED = ("a" * 16, "b" * 16)  # rounds that wait at the site
README, EXPORT, STUDY, TILES, TRAINING = "README.md", "docs/export.md", "docs/study.md", "docs/tiles.md", "docs/training.md"
ROUNDS, TRANSPORT, OPERATIONS = "docs/federation.md", "docs/federation-transport.md", "docs/operations.md"


@dataclass(frozen=True)
class NotHere:
    """Commands that no machine of tests can run, and where what they do is run instead."""

    why: str
    instead: str  # FILE, or FILE::TEST
    commands: tuple[str, ...]  # whole; of one that goes on over several lines the first


NODES = "tests/server/test_training_nodes.py::test_two_machines_train_what_one_with_two_processes_trains"
STORY = "tests/demo/test_story.py::test_story_stopped_then_told_to_its_end_then_told_again"
CORNER = "tests/demo/test_story.py::test_story_on_a_corner_of_real_tissue"
NOT_HERE = (
    NotHere("ten minutes long; the same story is told with shorter trainings", STORY, ("make demo",)),
    NotHere("takes real tissue", CORNER, ("make demo DATA=path/to/folder", "make demo DATA=path/to/mob")),
    NotHere("runs this test", "Makefile", ("make test",)),
    NotHere("writes into the checkout", "tests/test_docs_site.py", ("make docs",)),
    NotHere(
        "take a container engine: `make test-containers` where there is one",
        "tests/containers/drill.py",
        (
            "for image in server superlink client proxy database; do",
            "docker compose --profile central up -d database",
            "docker compose run --rm server init",
            "docker compose run --rm trainer train --organ breast --images /images --preset paper",
            "docker compose run --rm server publish breast-paper --organ breast",
            "docker compose --profile central up -d",
            "C2LST_DATA=/srv/slides docker compose --profile site up --no-start",
            "docker compose run --rm client enroll /data/hospital-a.json",
            "docker compose run --rm client site add rep11 --organ breast --spots /data/rep11",
            "docker compose run --rm client adapt --site rep11",
            "docker compose --profile site up -d",
            "docker compose exec console c2lst-client console --show-token",
        ),
    ),
    NotHere(
        "changes the web server of the machine; with one of its own, `make test-federation`",
        "tests/federation/test_flower_processes.py",
        ("cp c2lst.conf /etc/nginx/conf.d/ && nginx -s reload",),
    ),
    NotHere(
        "takes another machine, and nothing of c2lst",
        "tests/client/console/test_serve.py",
        ("ssh -L 8470:127.0.0.1:8470 you@the-machine",),
    ),
    NotHere(
        "take several machines, or Slurm, which starts the same launcher; with two networks of one machine, `make test-load`",
        NODES,
        (
            "accelerate launch --multi_gpu --num_machines 2 --machine_rank 0 --main_process_ip first.example.org "
            "--main_process_port 29500 \\",
            'export FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "srun bash -c 'exec accelerate launch --multi_gpu --num_machines $SLURM_NNODES --machine_rank $SLURM_NODEID \\",
        ),
    ),
)


@dataclass(frozen=True)
class Instead:
    """Words of a page, and what is run in their place."""

    page: str
    words: str
    run: str  # {} is the whole command
    why: str


FEW = "--fraction 0.25 --ratio 1 --repeats 1 --epochs 0"  # two divisions of a study instead of fifteen
INSTEAD = (
    Instead(README, "https://central.example.org", "https://127.0.0.1:$PORT --ca ca.pem", "nobody has that name"),
    Instead(README, "--port 443", "--port $PORT", "a port that is free"),
    Instead(README, "study --site rep11", "study --site rep11 --dry-run", "study.md runs it"),
    Instead(
        STUDY, "study --site rep11  ", f"study --site rep11 {FEW} ", "minutes also with short presets; the dry run counts all"
    ),
    Instead(STUDY, "--repeats 1 --epochs 0", f"{FEW} --dry-run", "the line above ran the same"),
    Instead(STUDY, "--jobs 7", f"--jobs 2 {FEW}", "two cores; it finds what the line above made"),
    Instead(TRAINING, "/srv/images", "$PWD/images", "a folder of the test"),
    Instead(
        TRAINING,
        "export C2LST_SERVER_TRAINER_LAUNCHER",
        "{} && c2lst-server trainings queue --organ breast --images breast-slides --preset paper --run breast-cards",
        "so that the trainer has something to do",
    ),
    Instead(TILES, "--out corpus/ --shard", "--out parts/ --shard", "corpus/ holds what the first block built"),
    Instead(TILES, "$SLURM_ARRAY_TASK_ID/16", "$SLURM_ARRAY_TASK_ID/2", "two jobs"),
    Instead(TILES, "$SLURM_ARRAY", "for SLURM_ARRAY_TASK_ID in 0 1; do {}; done", "which are Slurm's to start"),
    Instead(TILES, "merge corpus/", "merge parts/", "as above"),
    Instead(TRANSPORT, "superlink  ", "superlink --port $PORT  ", "a port that is free"),
    Instead("docs/console.md", "c2lst-client console", "c2lst-client console --port $PORT", "a port that is free"),
    Instead(ROUNDS, "20:00-06:00", "00:00-23:59", "by day too"),
    Instead(ROUNDS, "c2lst-client rounds show ROUND", f"c2lst-client rounds show {OFFERED[0]}", "one that waits"),
    Instead(ROUNDS, "rounds approve ROUND", f"rounds approve {OFFERED[0]}", "one that waits"),
    Instead(ROUNDS, "rounds decline ROUND", f"rounds decline {OFFERED[1]}", "another one that waits"),
    Instead(ROUNDS, "c2lst-server rounds show ROUND", "c2lst-server rounds show $ROUND", "the one that was started"),
    Instead(ROUNDS, "rounds cancel ROUND", "rounds cancel $ROUND", "the one that was started"),
    Instead(OPERATIONS, "10001:10001", "$(id -u):$(id -g)", "another user takes root"),
    Instead(OPERATIONS, "postgresql+psycopg://c2lst@db.example.org/c2lst", '"$DATABASE"', "a PostgreSQL of the test"),
    Instead(OPERATIONS, "postgresql+psycopg://...", '"$DATABASE"', "a PostgreSQL of the test"),
    Instead(OPERATIONS, "c2lst-server backup --out before", "unset C2LST_SERVER_DATABASE_URL; {}", "it was set further up"),
    Instead(
        OPERATIONS, "c2lst-server restore c2lst", "C2LST_SERVER_DATABASE_URL= C2LST_SERVER_HOME=$PWD/empty {}", "an empty home"
    ),
    Instead(OPERATIONS, "c2lst-client restore", "C2LST_HOME=$PWD/empty-site {}", "an empty state folder"),
    Instead(OPERATIONS, "http://collector.example.org:4318", "$COLLECTOR", "a collector of the test"),
    Instead(OPERATIONS, "c2lst-server serve", "c2lst-server serve --port $PORT", "a port that is free"),
)


@dataclass(frozen=True)
class Stays:
    """A command that goes on until it is stopped."""

    page: str
    command: str
    ready: str  # a command of the shell that says whether it is at work; $now.out is what it has printed
    stopped: bool = False  # then, before the page goes on


SAYS_SOMETHING = "[ -s $now.out ]"
STAYS = (
    Stays(
        README, "c2lst-server serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem", "curl -fsk $URL/healthz"
    ),
    Stays(README, "c2lst-server trainer", "grep ended $now.out", stopped=True),
    Stays("docs/console.md", "c2lst-client console", SAYS_SOMETHING),
    Stays(TRANSPORT, "c2lst-server superlink", "c2lst-server superlink --check --grace 0"),
    Stays(TRANSPORT, "c2lst-client join", SAYS_SOMETHING),
    Stays(ROUNDS, "c2lst-client worker", "c2lst-client rounds list | grep finished"),
    Stays(ROUNDS, "c2lst-server rounds show ROUND --watch", SAYS_SOMETHING),
    Stays(OPERATIONS, "c2lst-server serve", "curl -fs http://127.0.0.1:$PORT/healthz"),
    Stays(TRAINING, "c2lst-server trainer", "grep ended $now.out", stopped=True),
    Stays(TRAINING, "c2lst-server trainings show mob-small --watch", SAYS_SOMETHING),
)
# At a terminal, what is answered there.
ANSWERED = {(EXPORT, "c2lst-client export --site rep11 --out pairs/"): "y"}
# What would be over too soon: a training of seconds, before it can be cancelled. It follows the command that is named.
LATER = {(TRAINING, "c2lst-server trainer"): "c2lst-server trainings resume mob-small"}
# What was done before the page begins, and what must hold at its end.
GIVEN = {
    EXPORT: ("c2lst-client synthesise --site rep11", "c2lst-client privacy --site rep11"),
    ROUNDS: (
        "c2lst-server rounds start --organ mob --sites a,b",
        "export ROUND=$(c2lst-server rounds list | awk '/mob/ {print $1}')",
    ),
    TRAINING: ("c2lst-server tiles build --images slides/ --organ breast --um-per-px 0.5 --preset paper --out corpus/",),
}
THEN = {
    README: ("c2lst-server trainings list | grep 'breast-paper .* finished'",),
    TRAINING: ("c2lst-server trainings list | grep 'breast-cards .* finished'",),
}
# What no block shows: signing apart from the server, keys, what is taken back, and what is read in between.
KEY = '--key "$C2LST_SERVER_HOME"/keys/targets'
SIGNED_TWICE = (
    f"for number in 1 2; do c2lst-server sign staged.json {KEY}-$number.pem; done; c2lst-server publish --staged staged.json"
)
IN_SENTENCES = (
    f"c2lst-server stage renew --out staged.json; {SIGNED_TWICE}; rm staged.json",
    f"c2lst-server stage publish mob-next --organ mob --out staged.json; {SIGNED_TWICE}; rm staged.json",
    f"c2lst-server stage withdraw mob/2 --reason 'of the wrong organ' --out staged.json; {SIGNED_TWICE}",
    "c2lst-server withdraw breast/1 --reason 'stained with the wrong dye'",
    "c2lst-server renew",
    "c2lst-server keys init",
    "c2lst-server keys rotate timestamp",
    "c2lst-server keys make third.pem",
    "c2lst-server keys add targets third.pem.pub",
    "c2lst-server keys remove targets $(c2lst-server keys status | awk '/^elsewhere/ {print $4}')",
    "c2lst-server trainings list",
    "c2lst-client inspect site --preview look.png",
    "c2lst-client site list",
    "c2lst-client adapt --site rep11 --dp-epsilon 8",
    "c2lst-client policy set --export never",
    f"c2lst-client rounds cancel {OFFERED[0]}",
    "c2lst-server sites suspend a",
    "c2lst-server sites resume a",
    "c2lst-server sites remove b",
    "c2lst-server admins add ada --scope trainings:read --scope trainings:write",
    "c2lst-server admins remove ada",
    "c2lst-server audit --json",
)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def bare(text: str) -> str:
    """A command without the comment after it."""
    return re.sub(r"\s+#[^\n]*", "", text).strip()


def first_line(text: str) -> str:
    return bare(text).splitlines()[0]


def steps_of(page: Path) -> list[Step]:
    """What is run of a page, in its order."""
    name, left_out = named(page), {command for row in NOT_HERE for command in row.commands}
    texts = [text for text in statements(page) if first_line(text) not in left_out]
    for (where, command), earlier in LATER.items():
        if where == name:
            place = [bare(text) for text in texts].index(command)
            moved = texts.pop(place)
            texts.insert([bare(text) for text in texts].index(earlier) + 1, moved)
    given, then = ([Step(text) for text in table.get(name, ())] for table in (GIVEN, THEN))
    return [*given, *(step(name, text) for text in texts), *then] if texts else []


def step(page: str, text: str) -> Step:
    command, run = bare(text), text
    for row in INSTEAD:
        if row.page == page and row.words in text:
            run = row.run.replace("{}", bare(run)) if "{}" in row.run else run.replace(row.words, row.run)
    stays = next((row for row in STAYS if (row.page, row.command) == (page, command)), None)
    return Step(
        run, stays.ready if stays else "", stopped=bool(stays and stays.stopped), answer=ANSWERED.get((page, command), "")
    )


# ---- that the tables are about what the pages have


def test_tables_name_nothing_that_no_page_has():
    texts = [(named(page), text) for page in SHOWN for text in statements(page)]
    shown = {(page, bare(text)) for page, text in texts}
    for row in NOT_HERE:
        assert {*row.commands} <= {first_line(text) for _, text in texts}, row
        file, _, test = row.instead.partition("::")
        assert test in (ROOT / file).read_text(), row
    for row in INSTEAD:
        assert any(page == row.page and row.words in text for page, text in texts), row
    assert {(row.page, row.command) for row in STAYS} | {*ANSWERED} | {*LATER} <= shown
    assert {*GIVEN} | {*THEN} <= {page for page, _ in texts}


def test_commands_stand_in_blocks_of_sh():
    for page in PAGES:
        assert not shown_elsewhere(page), f"{named(page)}: a command stands outside of a block"
        other = [block for block in blocks(page) if block.language in ("bash", "shell", "console")]
        assert not other, f"{named(page)}: blocks of commands are called sh"


def test_every_command_of_both_programs_is_run():
    pages = [step.text for page in SHOWN for step in steps_of(page)]
    tutorials = [text for page in TUTORIALS.iterdir() for text in statements(page)]
    run = "\n".join((*pages, *tutorials, *IN_SENTENCES))
    missing = [path for path, _ in commands() if not re.search(rf"{path}(\s|$)", run)]
    assert not missing, "put them into IN_SENTENCES"


# ---- the world that pages are run in


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of slides under the names that pages use."""
    folder = tmp_path_factory.mktemp("tissue")
    make_phantom(folder, central_slides=1, central_um=1000)  # central/ and site/, at 2.75 um/px
    make_phantom(folder / "scanned", um_per_px=0.5, central_slides=2, central_um=700, site_um=700)
    (folder / "scanned" / "central").rename(folder / "slides")
    shutil.copytree(folder / "central", folder / "images" / "mob-sections")
    (folder / "images" / "breast-slides").mkdir()
    for path in (folder / "slides").iterdir():  # as scanners write it: the file says its scale
        with Image.open(path) as slide:
            slide.save(folder / "images" / "breast-slides" / f"{path.stem}.tif", resolution=20_000, resolution_unit=3)
    return folder


@pytest.fixture
def work(tmp_path: Path, tissue: Path) -> Path:
    """The folder in which commands are typed: slides, and what of a checkout they use."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("central", "site", "slides", "images"):
        (work / name).symlink_to(tissue / name)
    for name in ("Makefile", "docker"):
        (work / name).symlink_to(ROOT / name)
    authority = new_authority()
    (work / "ca.pem").write_text(authority.pem)
    for made, name in zip(server_files(authority, tmp_path), ("cert.pem", "key.pem"), strict=True):
        shutil.copy(made, work / name)
    return work


@pytest.fixture
def environment(tmp_path: Path, work: Path) -> dict[str, str]:
    """Settings of the shell: both programs have a state folder, and presets are short in whatever is started."""
    port = str(free_port())
    found = reader_environment()
    found["PYTHONPATH"] = os.pathsep.join([str(FAKES / "at_start"), str(FAKES.parent), found["PYTHONPATH"]])
    (tmp_path / "user").mkdir()
    settings = {
        "C2LST_SERVER_HOME": str(tmp_path / "centre"),
        "C2LST_SERVER_PASSPHRASE": PASSPHRASE,
        "C2LST_SERVER_IMAGES": str(work / "images"),
        "C2LST_HOME": str(tmp_path / "institution"),
        "HOME": str(tmp_path / "user"),
        "OMP_NUM_THREADS": "1",
        "PORT": port,
        "URL": f"https://127.0.0.1:{port}",
    }
    return found | settings


@pytest.fixture
def open_world(tmp_path: Path, work: Path, environment: dict[str, str]) -> Iterator[None]:
    """A centre with a release of two organs, which is served, and an enrolled institution with a slide and two offers."""
    central = Central(tmp_path / "centre")
    weights = build_backbone(SHORT["tiny"].backbone, seed=0).state_dict()
    for organ in ("mob", "breast"):
        central.publish(f"{organ}-tiny", organ=organ, weights=weights, preset=SHORT["tiny"])
    central.add_run("mob-next", weights=weights, preset=SHORT["tiny"])
    home = Settings(home=tmp_path / "institution").folders
    ca = (work / "ca.pem").read_text()
    with serving(central, tls=(work / "cert.pem", work / "key.pem")):
        for name, folder in (("a", home), ("b", Home(tmp_path / "other"))):
            enrol(folder, central.invite(tmp_path / f"{name}.json", name=name, ca_pem=ca))
        add_site(home, "rep11", organ="mob", spots=work / "site")
        for round_id in OFFERED:
            handle(home, offer(round_id).body())
        yield
    central.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in SHOWN if steps_of(page)], ids=named)
def test_commands_of_the_page_work(page: Path, tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest):
    with ExitStack() as around:
        if named(page) == OPERATIONS:
            environment["DATABASE"] = around.enter_context(postgres()).new()
            environment["COLLECTOR"] = around.enter_context(collecting()).url
        if named(page) != README:  # which begins with nothing
            request.getfixturevalue("open_world")
        check(steps_of(page), tmp_path, environment)


@pytest.mark.slow
@pytest.mark.usefixtures("open_world")
def test_commands_in_sentences_work(tmp_path: Path, environment: dict[str, str]):
    check([Step(text) for text in IN_SENTENCES], tmp_path, environment)


def check(steps: list[Step], folder: Path, environment: dict[str, str]) -> None:
    ran = run_steps(steps, folder, environment)
    for each in ran:
        assert each.well, f"{each.step.text}\nended with {each.code}:\n{each.output[-3000:]}"
    assert len(ran) == len(steps), f"not at work, and gone: {ran[-1]}"


def test_what_goes_on_is_ended_and_what_fails_is_the_last(tmp_path: Path) -> None:
    steps = [
        Step("touch here && export HERE=$PWD"),
        Step("sleep 600", ready="true"),
        Step('read -r -p "Sure? " answer && [ "$answer" = y ]', answer="y"),
        Step("cd / && [ -e $HERE/here ]  # as in one shell"),
        Step("false; true"),
        Step("echo never"),
    ]
    ran = run_steps(steps, tmp_path, reader_environment())
    assert [each.well for each in ran] == [True, True, True, True, False]
    assert [each.code for each in ran] == [0, 130, 0, 0, 1]
    assert "Sure?" in ran[2].output
