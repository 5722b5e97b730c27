"""Runs the cases of a benchmark in processes of their own, in turn, and compares them with the first one.

A benchmark declares `CASES`: name -> a function that prepares and returns the work; the work returns how many units it did.
Each run is a fresh process: it prepares, warms up once, is timed once, and tells its peak memory. Cases take turns, so that
what else the machine does falls on all of them. Absolute times depend on the machine; ratios much less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

Work = Callable[[], int]
Prepare = Callable[[argparse.Namespace], Work]


@dataclass
class Run:
    """One timed run of one case."""

    seconds: float
    units: int
    peak_mib: float  # of the process
    work_mib: float  # of it, what came after the libraries were loaded: networks, data, activations


@dataclass
class Row:
    """One case over all its runs."""

    case: str
    units_per_second: float  # median
    times_first: float  # median over turns of its speed over the first case's in the same turn
    lowest: float
    highest: float
    peak_mib: float  # median
    work_mib: float  # median
    work_of_first: float  # its work_mib over the first case's


def main(title: str, cases: Mapping[str, Prepare], unit: str, parser: argparse.ArgumentParser, script: str) -> None:
    """Run all cases (the default) or one of them (`--case`, used by the former) and print a table or JSON."""
    parser.add_argument("--repeats", type=int, default=3, help="turns; the median counts")
    parser.add_argument("--only", nargs="+", choices=list(cases), help="these cases alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--save", type=Path, help="write the JSON to this file as well")
    parser.add_argument("--case", choices=list(cases), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        with ExitStack() as given.closing:  # where a case leaves what is to be closed after the timing
            print(json.dumps(asdict(timed(cases[given.case], given))))
        return
    chosen = given.only or list(cases)
    passed = [word for word in sys.argv[1:] if word != "--json"]
    turns = []
    for number in range(given.repeats):
        print(f"turn {number + 1} of {given.repeats} ...", file=sys.stderr)
        turns.append({name: in_own_process(script, passed, name) for name in chosen})
    rows = [summarise(name, chosen[0], turns) for name in chosen]
    found = {"benchmark": title, "unit": unit, "machine": machine(), "rows": [asdict(row) for row in rows]}
    if given.save:
        given.save.write_text(json.dumps(found, indent=1))
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{title}; {machine()}; median of {given.repeats} turns")
    print(
        f"{'':<44}{unit + '/s':>14}{'times first':>14}{'[lowest, highest]':>20}{'peak MiB':>10}{'work MiB':>10}{'of first':>10}"
    )
    for row in rows:
        spread = f"[{row.lowest:.2f}, {row.highest:.2f}]"
        print(
            f"{row.case:<44}{row.units_per_second:>14.4g}{row.times_first:>14.2f}{spread:>20}"
            f"{row.peak_mib:>10.0f}{row.work_mib:>10.0f}{row.work_of_first:>10.2f}"
        )


def timed(prepare: Prepare, given: argparse.Namespace) -> Run:
    """Prepare, warm up, then time the work once."""
    loaded = peak()
    work = prepare(given)
    work()
    synchronise()
    began = time.perf_counter()
    units = work()
    synchronise()
    return Run(time.perf_counter() - began, units, peak(), peak() - loaded)


def in_own_process(script: str, passed: list[str], case: str) -> Run:
    done = subprocess.run([sys.executable, script, *passed, "--case", case], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"Case {case!r} failed:\n{done.stderr.strip()[-2000:]}")
    run = Run(**json.loads(done.stdout.splitlines()[-1]))
    print(f"  {case}: {run.units / run.seconds:.4g} a second, {run.peak_mib:.0f} MiB", file=sys.stderr)
    return run


def summarise(case: str, first: str, turns: list[dict[str, Run]]) -> Row:
    def speed(run: Run) -> float:
        return run.units / run.seconds

    ratios = [speed(turn[case]) / speed(turn[first]) for turn in turns]
    return Row(
        case=case,
        units_per_second=statistics.median(speed(turn[case]) for turn in turns),
        times_first=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        peak_mib=statistics.median(turn[case].peak_mib for turn in turns),
        work_mib=statistics.median(turn[case].work_mib for turn in turns),
        work_of_first=statistics.median(turn[case].work_mib / max(turn[first].work_mib, 1.0) for turn in turns),
    )


def peak() -> float:
    """Highest memory so far, MiB: of the card when there is one, else resident memory of the process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    # not getrusage: what it says of a child begins with what its parent held
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def synchronise() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> str:
    """The card, or the processor with its number of cores."""
    import os

    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(": ")[2] if models else "CPU"
    return f"{name}, {os.cpu_count()} cores, {'bf16' if _has_bf16() else 'float32'}"


def _has_bf16() -> bool:
    import torch

    from c2lst_shared.diffusion.hardware import has_bf16

    return has_bf16(torch.device("cpu"))
