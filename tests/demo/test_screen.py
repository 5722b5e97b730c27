"""The last screen shows the numbers, the verdict, the costs and where the report is, within eighty columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from c2lst_demo.answers import Arm, Conditioning, Cotrain, Interval, Results
from c2lst_demo.folder import Demo
from c2lst_demo.screen import show_results
from c2lst_shared import atomic
from c2lst_shared.journal import JOURNAL, Entry, Journal


def interval(value: float) -> Interval:
    return Interval(value=value, low=value - 0.1, high=value + 0.1)


@pytest.fixture
def results() -> Results:
    kinds = [("mean", None), ("real", None), ("real+synthetic+augmentation", 10)]
    return Results(
        conditioning=Conditioning(
            r=interval(0.71), concordance=interval(0.6), shuffled_r=interval(0.02), ridge_r=interval(0.8), barcodes=["a", "b"]
        ),
        cotrain=Cotrain(
            genes=["g1", "g2", "g3"],
            train_spots=58,
            test_spots=176,
            arms=[Arm(kind=kind, ratio=ratio, mae=interval(0.85), pearson=interval(0.3)) for kind, ratio in kinds],
            verdict="No evidence that synthetic pairs help here.",
        ),
    )


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    demo = Demo(out=tmp_path, data=tmp_path / "phantom", organ="phantom", preset="tiny", port=1)
    atomic.write_text(demo.run / "run.json", '{"images": 4, "tiles": 1234, "steps_done": 1200, "organ": "phantom"}')
    for folder, step, seconds in ((demo.run, "pretrain", 121.6), (demo.site, "adapt", 59.94)):
        entry = Entry(step=step, belongs_to="", finished="2026-01-01T00:00:00Z", seconds=seconds, peak_rss_mib=1500.4)
        atomic.write_text(folder / JOURNAL, Journal(entries=[entry]).model_dump_json())
    return demo


def shown(demo: Demo, results: Results) -> str:
    screen = io.StringIO()
    show_results(demo, results, Console(file=screen, width=80))
    return screen.getvalue()


def test_screen_shows_numbers_with_intervals_and_the_verdict(demo: Demo, results: Results) -> None:
    text = shown(demo, results)
    assert "1200 steps on 1234 tiles of 4" in text
    assert "0.710  [0.610, 0.810]" in text
    assert "real + synthetic + augmentation x10" in text
    assert "0.850  [0.750, 0.950]" in text
    assert "No evidence that synthetic pairs help here." in text


def test_screen_adds_up_what_the_steps_cost(demo: Demo, results: Results) -> None:
    rows = {line.split()[0]: line.split()[1:] for line in shown(demo, results).splitlines() if "MiB" in line}
    assert rows == {
        "pretrain": ["2", "min", "02", "s", "1,500", "MiB"],
        "adapt": ["59.9", "s", "1,500", "MiB"],
        "all": ["3", "min", "02", "s", "1,500", "MiB"],
    }


def test_screen_names_the_report_in_one_piece(demo: Demo, results: Results) -> None:
    lines = shown(demo, results).splitlines()
    assert f"The report  {demo.report}" in lines
    assert lines[-1].strip() == demo.report.as_uri()
