"""Runs single commands of pages in one shell, one after the other, as somebody would who reads the page and types."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOPPED = 130  # by Ctrl-C, after saving (docs/command-line.md)
# What goes on is stopped by Ctrl-C, at the latest when the shell ends; each job is a group of processes, as at a terminal.
# One that is gone may have been at work, and done, since it was last asked.
_BEGIN = """set -m
ended() {
    code=$?; set +e; [ -e "$now.rc" ] || echo $code >"$now.rc"
    for job in "${!jobs[@]}"; do kill -INT -- -"$job"; done 2>/dev/null
    for job in "${!jobs[@]}"; do
        wait "$job" 2>/dev/null; mv "${jobs[$job]}.code" "${jobs[$job]}.rc"
    done
}
declare -A jobs; trap ended EXIT"""
# Each job writes down itself how it ended, as bash forgets those that it has told to be done; Ctrl-C is for the command in it.
_STARTED = """( trap : INT; ( source $now.sh ) >$now.out 2>&1; echo $? >$now.code ) & jobs[$!]=$now
until {ready}; do kill -0 $! || {{ {ready} && break; exit 1; }}; sleep 0.1; done >/dev/null 2>&1"""
_STOPPED = "kill -INT -- -$!; wait $!; mv $now.code $now.rc; unset 'jobs['$!']'"
_AT_A_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"


@dataclass(frozen=True)
class Step:
    """A command as it is run."""

    text: str
    ready: str = ""  # it goes on until it is stopped; this says that it is at work, $now.out being what it has printed
    stopped: bool = False  # as soon as it is at work, and not with the page
    answer: str = ""  # it is run at a terminal, and this is typed there


@dataclass(frozen=True)
class Ran:
    """A step that was run."""

    step: Step
    code: int
    output: str

    @property
    def well(self) -> bool:
        """Whether it ended as it should."""
        return self.code == 0 or (self.code == STOPPED and bool(self.step.ready))


def run_steps(steps: Sequence[Step], folder: Path, environment: Mapping[str, str]) -> list[Ran]:
    """Run them in `folder/work` until one ends otherwise than it should; return those that were begun."""
    typed, work = folder / "typed", folder / "work"
    typed.mkdir()
    work.mkdir(exist_ok=True)
    script = [_BEGIN]
    for number, step in enumerate(steps):
        here = typed / str(number)
        here.with_suffix(".sh").write_text(f"exec {step.text}" if step.ready else step.text)
        script += [f"now={here}", _line(step)]
    # Tests that were started in the background ignore Ctrl-C, and whatever they start would too.
    words = ["env", "--default-signal=INT,QUIT", "bash", "-c", "\n".join(script)]
    shell = subprocess.Popen(words, cwd=work, env=environment, stdin=subprocess.DEVNULL)
    try:
        shell.wait()
    finally:  # also when a test is over its time: what was left running ends with the shell
        shell.terminate()
        shell.wait()
    begun = [typed / str(number) for number in range(len(steps)) if (typed / f"{number}.rc").exists()]
    return [
        Ran(step, int(here.with_suffix(".rc").read_text()), here.with_suffix(".out").read_text())
        for step, here in zip(steps, begun, strict=False)
    ]


def _line(step: Step) -> str:
    if step.ready:
        return _STARTED.format(ready=step.ready) + (f"\n{_STOPPED}" if step.stopped else "")
    run = "source $now.sh"
    if step.answer:
        run = f"{shlex.join([sys.executable, '-c', _AT_A_TERMINAL, 'bash'])} $now.sh <<<{shlex.quote(step.answer)}"
    return f"set -e; {run} >$now.out 2>&1; set +e; echo 0 >$now.rc"
