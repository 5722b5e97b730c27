"""The last screen: what was made, what it is worth, where the report is, and what each step cost."""

from __future__ import annotations

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from c2lst_demo.answers import Conditioning, Cotrain, Results
from c2lst_demo.folder import Demo
from c2lst_shared import journal


class Run(BaseModel):
    """What pretraining saw."""

    images: int
    tiles: int
    steps_done: int


def show_results(demo: Demo, results: Results, console: Console) -> None:
    """Print the last screen of a demo that has run to its end."""
    run = Run.model_validate_json((demo.run / "run.json").read_text())
    conditioning, cotrain = results.conditioning, results.cotrain
    console.print()
    console.rule("[bold]What came out")
    console.print(
        f"Release of organ {demo.organ}: a backbone trained for {run.steps_done} steps on {run.tiles} tiles of {run.images} "
        f"slides. Adapter of the site: {cotrain.train_spots} training spots, {len(cotrain.genes)} genes.\n"
    )
    console.print(
        f"Does synthetic tissue follow the expression? Nuclear fraction, {len(conditioning.barcodes)} held-out spots:"
    )
    console.print(_conditioning_table(conditioning))
    console.print(f"\nDo synthetic pairs help to predict expression? {cotrain.test_spots} held-out spots:")
    console.print(_arms_table(cotrain))
    console.print(f"\n[bold]{escape(cotrain.verdict)}[/bold]\n", highlight=False)
    console.print(_cost_table(demo))
    console.print(f"\n[bold]The report[/bold]  {escape(str(demo.report))}", highlight=False, soft_wrap=True)
    link = demo.report.as_uri()
    console.print(f"            [link={link}]{link}[/link]", highlight=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _conditioning_table(result: Conditioning) -> Table:
    table = _table("", "r  [95 % interval]")
    table.add_row("synthetic against real", str(result.r))
    table.add_row("the same, concordance", str(result.concordance))
    table.add_row("the same, conditions shuffled", str(result.shuffled_r))
    table.add_row("what the genes know (ridge)", str(result.ridge_r))
    return table


def _arms_table(result: Cotrain) -> Table:
    table = _table("trained on", "MAE, z-scores  [95 %]", "r")
    for arm in result.arms:
        name = arm.kind.replace("+", " + ") + (f" x{arm.ratio}" if arm.ratio is not None else "")
        table.add_row(name, str(arm.mae), f"{arm.pearson.value:.3f}")
    return table


def _cost_table(demo: Demo) -> Table:
    table = _table("step", "wall time", "peak memory")
    entries = [entry for folder in (demo.out, demo.run, demo.site) for entry in journal.read(folder).entries]
    for entry in entries:
        table.add_row(entry.step, _clock(entry.seconds), f"{entry.peak_rss_mib:,.0f} MiB")
    total = sum(entry.seconds for entry in entries)
    table.add_row("all", _clock(total), f"{max(entry.peak_rss_mib for entry in entries):,.0f} MiB", style="bold")
    return table


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"
