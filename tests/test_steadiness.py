"""The rule of the soak finds a leak, is not misled by load that comes and goes, and says when it cannot tell."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "steadiness.py"


@pytest.fixture(scope="module")
def growth() -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("steadiness", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["steadiness"] = module  # where its dataclass looks for its annotations
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.growth
    return found


def rows(name: str, value: Callable[[float, random.Random], float], *, minutes: float = 20) -> list[dict[str, float]]:
    """What was seen every ten seconds; `value` is of the minute."""
    chance = random.Random(0)
    return [{"seconds": 10.0 * look, name: value(look / 6, chance)} for look in range(int(6 * minutes) + 1)]


def test_caches_that_fill_and_load_that_comes_and_goes_are_no_growth(growth: Callable[..., Any]) -> None:
    filling = rows("rss_mib", lambda minute, chance: 120 + min(minute, 4) * 5 + chance.choice([0, 0, 15]) + chance.random())
    found = growth(filling, "rss_mib")
    assert (found.verdict, found.low < 0 < found.high, round(60 * found.hours, 1)) == ("steady", True, 15.0)
    busy = rows("files", lambda minute, chance: 24 + chance.choice([0, 5, 25]))
    assert growth(busy, "files").verdict == "steady"


def test_single_step_is_not_taken_for_a_slope(growth: Callable[..., Any]) -> None:
    found = growth(rows("rss_mib", lambda minute, chance: 137 + 6 * (minute > 18) + chance.random()), "rss_mib")
    assert (found.verdict, found.low < 0.5) == ("steady", True)


@pytest.mark.parametrize(("name", "an_hour"), [("rss_mib", 20), ("files", 12), ("threads", 12), ("wal_mib", 30)])
def test_leak_below_changing_load_is_found(growth: Callable[..., Any], name: str, an_hour: float) -> None:
    found = growth(rows(name, lambda minute, chance: 30 + an_hour * minute / 60 + chance.choice([0, 0, 8])), name)
    assert (found.verdict, found.slope) == ("grows", pytest.approx(an_hour, rel=0.1))


def test_figures_that_say_too_little_are_undecided(growth: Callable[..., Any]) -> None:
    wild = rows("rss_mib", lambda minute, chance: 140 + chance.gauss(0, 60))
    assert growth(wild, "rss_mib").verdict == "undecided"
    short = rows("wal_mib", lambda minute, chance: minute, minutes=10)  # a log that is not full yet
    assert growth(short, "wal_mib").verdict == "undecided"
    with pytest.raises(ValueError, match="too few"):
        growth(wild[:8], "rss_mib")
