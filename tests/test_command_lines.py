"""What holds for every command of both command lines: help pages, JSON, errors, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from fakes.typed_commands import LINES, commands, groups, parse

from c2lst_client.home import Home
from c2lst_shared import command_line, errors
from c2lst_shared.command_line import COMMON, CommandLine, examples
from c2lst_shared.console import run

COMMANDS = dict(commands())
BIN = Path(sys.executable).parent
# They run until they are stopped and log, in text or JSON, by --log-format.
SERVICES = {"c2lst-server serve"}


def typed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as it is installed."""
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        env=os.environ | {"NO_COLOR": "1"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_and_each_parses(path):
    found = examples(COMMANDS[path])
    assert found, f"`{path}` shows no example"
    for line in found:
        assert parse(line).command.help == COMMANDS[path].help, f"{line} is an example of another command"


@pytest.mark.parametrize("name", LINES)
def test_examples_of_the_whole_parse(name):
    found = examples(LINES[name])
    assert len(found) > 3
    for line in found:
        parse(line)


def test_example_with_an_unknown_option_is_found():
    with pytest.raises(click.UsageError):
        parse("c2lst-client adapt --sites rep11")
    with pytest.raises(click.UsageError):
        parse("c2lst-client adopt --site rep11")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_can_answer_in_json(path):
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert ("--json" in options) != (path in SERVICES)


@pytest.mark.parametrize("path", COMMANDS)
def test_many_options_stand_in_groups(path):
    loose = [
        parameter
        for parameter in COMMANDS[path].params
        if isinstance(parameter, click.Option) and getattr(parameter, "rich_help_panel", None) is None
    ]
    assert len(loose) <= 8, f"{path} has {len(loose)} options in no group"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is(path):
    silent = [each.name for each in COMMANDS[path].params if not getattr(each, "help", None)]
    assert not silent


def test_page_shows_options_in_groups_and_examples_last():
    page = typed("c2lst-client", "adapt", "--help").stdout
    places = [page.index(f"{heading}:\n") for heading in ("Options", "Data", "Differential privacy", COMMON, "Examples")]
    assert places == sorted(places)
    assert "  c2lst-client adapt --site rep11\n" in page
    assert "\\[" not in page


@pytest.mark.parametrize(("path", "group"), list(groups()))
def test_lists_of_commands_cut_no_sentence_short(path, group):
    page = group.get_help(click.Context(group, info_name=path))
    assert "..." not in page.split("\n\n", 1)[1].split("Examples:")[0]


@pytest.mark.parametrize("name", LINES)
def test_top_page_says_what_each_exit_code_means(name):
    page = typed(name, "--help").stdout
    assert command_line.exit_codes() in page.replace("\n  ", "\n  ")


@pytest.mark.parametrize("name", LINES)
def test_version_is_said(name):
    assert typed(name, "--version").stdout == f"{name} {version('c2lst')}\n"


def test_every_error_ends_with_a_code_that_is_explained():
    def below(kind: type[errors.C2lstError]) -> set[int]:
        return {kind.exit_code}.union(*(below(sub) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__))

    assert below(errors.C2lstError) | {0} == set(errors.EXIT_CODES)


FAILURES = {  # what is typed -> exit code, words of the sentence
    "c2lst-client": (2, ""),
    "c2lst-client nothing": (2, "`c2lst-client --help`"),
    "c2lst-client pull": (2, "`c2lst-client pull --help`"),
    "c2lst-client pull --organ": (2, "--help`"),
    "c2lst-client pull --organ mob": (2, "enroll"),
    "c2lst-client pull --organ mob --release 0": (2, "`c2lst-client pull --help`"),
    "c2lst-client enroll none.json": (2, "none.json"),
    "c2lst-client inspect none": (2, "none"),
    "c2lst-client adapt --site nobody": (2, "c2lst-client site add"),
    "c2lst-client report --site nobody --json": (2, "c2lst-client site add"),
    "c2lst-client export --site nobody --out pairs": (2, "c2lst-client site add"),
    "c2lst-client rounds show 3f9c": (2, "3f9c"),
    "c2lst-client rounds approve 3f9c --json": (2, "3f9c"),
    "c2lst-client policy set --window noon": (2, "window"),
    "c2lst-client import-bundle none.tar": (2, "none.tar"),
    "c2lst-client restore none.tar": (2, "none.tar"),
    "c2lst-client rotate-key": (2, "enroll"),
    "c2lst-server status": (2, "c2lst-server init"),
    "c2lst-server releases list --json": (2, "c2lst-server init"),
    "c2lst-server train --organ mob --images none": (2, "none"),
    "c2lst-server train --organ mob --images . --preset huge": (2, "tiny, small, paper"),
    "c2lst-server publish": (2, "--staged"),
    "c2lst-server sites list --json": (2, "c2lst-server init"),
    "c2lst-server sites suspend nobody": (2, "c2lst-server init"),
    "c2lst-server keys status": (2, "c2lst-server init"),
    "c2lst-server rounds start --organ mob --sites a": (2, "c2lst-server init"),
    "c2lst-server tiles show none": (3, "build it again"),
    "c2lst-server tiles build --images . --out corpus --format zip": (2, "webdataset"),
    "c2lst-server sign none.staged --key none.pem": (2, "none.staged"),
    "c2lst-server serve --tls-cert none.pem": (2, "tls-key"),
    "c2lst-server restore none.tar": (2, "none.tar"),
    "c2lst-server trainings show nothing": (2, "c2lst-server init"),
}


@pytest.mark.slow
@pytest.mark.parametrize("line", FAILURES)
def test_failure_is_one_sentence_on_standard_error_and_nothing_else(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, words = FAILURES[line]
    done = typed(*line.split(), C2LST_HOME=str(tmp_path / "site"), C2LST_SERVER_HOME=str(tmp_path / "centre"))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    if line in LINES:  # asked for nothing, it shows what there is to ask for
        assert done.stderr.startswith("Usage:")
        return
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    assert words in done.stderr


@pytest.fixture
def outcome(capsys, monkeypatch):
    def of(app: CommandLine, *words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["c2lst-test", *words])
        with pytest.raises(SystemExit) as ended:
            run(app)
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return of


def test_fault_of_our_own_shows_where_but_no_values(outcome):
    app = CommandLine()

    @app.command()
    def one():
        patient = "4711-secret"
        raise LookupError(len(patient))

    @app.command()
    def other():
        pass

    code, out, err = outcome(app, "one")
    assert (code, out) == (1, "")
    assert "raise LookupError" in err
    assert err.splitlines()[-1].startswith("Error: LookupError: ")
    assert "4711-secret" not in err.replace('patient = "4711-secret"', "")
    assert outcome(app, "other") == (0, "", "")


def test_path_that_the_machine_refuses_is_one_sentence(outcome, tmp_path):
    app = CommandLine()

    @app.command()
    def write():
        (tmp_path / "file" / "below").write_text("")

    @app.command()
    def other():
        pass

    (tmp_path / "file").touch()
    code, _, err = outcome(app, "write")
    assert code == 2
    assert err.splitlines() == [
        f"Error: {tmp_path / 'file' / 'below'}: Not a directory. Give another path, or change what its owner allows."
    ]


def test_answers_in_json_are_one_document_with_nothing_around(tmp_path):
    done = typed("c2lst-client", "policy", "set", "--mode", "never", "--json", "--home", str(tmp_path))
    assert json.loads(done.stdout)["mode"] == "never"
    assert done.stderr == ""


def completions(line: str, **environment: str) -> list[str]:
    """What bash offers after a Tab at the end of `line`, by the script that --show-completion prints."""
    script = f"""
        source <({line.split()[0]} --show-completion)
        COMP_WORDS=({line}"")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        "$(complete -p {line.split()[0]} | sed 's/.*-F \\([^ ]*\\).*/\\1/')" {line.split()[0]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    searched = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | searched | environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
def test_shell_completes_commands_and_what_the_state_folder_holds(tmp_path):
    home = Home(tmp_path)
    for folder in (home.site("rep11"), home.site("rep12"), home.release("mob", 3)):
        folder.mkdir(parents=True)
    asked = {"C2LST_HOME": str(tmp_path)}
    assert completions("c2lst-client re", **asked) == ["report", "restore"]
    assert completions("c2lst-client adapt --site ", **asked) == ["rep11", "rep12"]
    assert completions("c2lst-client adapt --site rep12", **asked) == ["rep12"]
    assert completions("c2lst-client export-bundle ", **asked) == ["mob/3"]
    assert completions("c2lst-client pull --organ ", **asked) == ["mob"]
    assert completions("c2lst-client rounds show ", **asked) == []


@pytest.mark.slow
def test_completion_says_nothing_and_makes_nothing_where_there_is_no_home(tmp_path):
    asked = {"C2LST_HOME": str(tmp_path / "none"), "C2LST_SERVER_HOME": str(tmp_path / "none")}
    assert completions("c2lst-client adapt --site ", **asked) == []
    assert completions("c2lst-server sites suspend ", **asked) == []
    assert not (tmp_path / "none").exists()
