"""What the pages let their readers type: blocks of shell, and the commands of this project in them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = ("c2lst-client", "c2lst-server", "make")
_SERVICES = {"server": "c2lst-server", "trainer": "c2lst-server", "superlink": "c2lst-server", "client": "c2lst-client"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    title: str  # empty without one
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    return [
        Block(language, (re.findall(r'title="([^"]*)"', rest) or [""])[0], text)
        for language, rest, text in _FENCE.findall(page.read_text())
    ]


def statements(page: Path) -> list[str]:
    """What a shell would do one after the other with all `sh` blocks of a page: lines, and what goes on over several."""
    found: list[str] = []
    for block in blocks(page):
        begun = ""
        for line in block.text.splitlines(keepends=True) if block.language == "sh" else ():
            begun += line
            if not line.endswith("\\\n") and _is_complete(begun):
                found += [begun] if _says_something(begun) else []
                begun = ""
        assert not begun, f"{page.name}: a block ends in the middle of a command: {begun}"
    return found


def typed(page: Path) -> Iterator[str]:
    """Every command of c2lst, and every `make`, that a page shows in a block, as it would reach the program."""
    for block in blocks(page):
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                yield from _commands(line)


def shown_elsewhere(page: Path) -> list[str]:
    """Lines that stand by themselves, in no fenced block, and begin like a command."""
    rest = _FENCE.sub("", page.read_text())
    return [line for line in rest.splitlines() if line.removeprefix("    ").startswith(("$ ", *_PROGRAMS, "docker "))]


def mentioned(page: Path) -> list[str]:
    """Every command that a page names in its sentences, which may lack what is not talked about."""
    prose = _FENCE.sub("", page.read_text())
    return [span for span in re.findall(r"`([^`\n]+)`", prose) if span.startswith(_PROGRAMS[:2])]


def _is_complete(text: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0


def _says_something(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _commands(line: str) -> Iterator[str]:
    words = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=";|&")
    words.whitespace_split, words.commenters = True, "#"
    try:
        found = list(words)
    except ValueError:  # a quotation that goes on in the next line
        return
    part: list[str] = []
    for word in [*found, ";"]:
        if set(word) <= set(";|&"):
            yield from _command(part)
            part = []
        else:
            part.append(word)


def _command(words: list[str]) -> Iterator[str]:
    while words and re.match(r"[A-Z_0-9]+=", words[0]):
        words = words[1:]
    for place, word in enumerate(words):
        image = re.match(r"c2lst/(client|server):", word)
        if word in _PROGRAMS and (place == 0 or words[0] in ("docker", "exec")):
            yield shlex.join(words[place:])
        elif image and words[:2] == ["docker", "run"]:
            yield shlex.join([f"c2lst-{image[1]}", *words[place + 1 :]])
        elif word in _SERVICES and words[:3] == ["docker", "compose", "run"]:
            yield shlex.join([_SERVICES[word], *words[place + 1 :]])
        elif word == "c2lst_server" and words[place - 1] in ("--module", "-m"):
            yield shlex.join(["c2lst-server", *words[place + 1 :]])
        else:
            continue
        return
