"""Results of a round as tables with an interval in each row: what the sites sent, side by side, and what they withheld."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst_server.rounds.store import RoundView
from c2lst_shared.web.charts import Estimate, common_range, interval_bar
from c2lst_shared.web.words import number
from c2lst_shared.wire import ChangeEstimate, CorrelationEstimate, LossEstimate, RoundResult

if TYPE_CHECKING:
    from markupsafe import Markup

Wire = LossEstimate | CorrelationEstimate | ChangeEstimate
REASONS = {
    "policy": "the site's policy withholds it",
    "few_spots": "it would stand on too few spots",
    "not_measured": "it was not asked for, or has no value there",
}
METRICS = {
    "denoising_loss": "the backbone's loss on the site's tissue",
    "conditioning_r": "conditioning r",
    "concordance": "concordance",
    "mae": "error of the predictor",
    "change": "change of that error",
    "spots": "numbers of spots",
    "genes": "number of genes",
    "seconds": "time of the work",
    "peak_memory": "peak memory",
}


@dataclass(frozen=True)
class Row:
    """One estimate of one site."""

    site: str
    value: str
    interval: str
    bar: Markup
    tone: str


@dataclass(frozen=True)
class ResultTable:
    """One metric over all sites."""

    name: str  # for its place on the page
    title: str
    about: str
    low: str  # end of the axis that the bars share
    high: str
    rows: list[Row]


def result_tables(view: RoundView) -> list[ResultTable]:
    """Return a table for each metric that any site sent."""
    results = [(site.site, site.result) for site in view.sites if site.result is not None]
    tables = [
        _table(
            "change",
            f"Change of the predictor's error: {_arm_in_words(arm)}",
            "Against training on real spots alone, in per cent. Left of the line is better; an interval that crosses it tells "
            "neither.",
            _changes(results, arm),
            percent=True,
            is_good=lambda each: each.high < 0,
            is_bad=lambda each: each.low > 0,
        )
        for arm in _arms(results)
    ]
    tables += [
        _table(
            "conditioning",
            "Conditioning r",
            "Do generated patches follow the expression? Correlation of nuclear fractions, generated against real, on "
            "held-out spots; above the line is better.",
            [(site, result.conditioning_r) for site, result in results],
            zero=True,
            is_good=lambda each: each.low > 0,
        ),
        _table(
            "concordance",
            "Concordance",
            "Agreement of the same nuclear fractions in value, and not in order alone; 1 is perfect.",
            [(site, result.concordance) for site, result in results],
            zero=True,
            is_good=lambda each: each.low > 0,
        ),
        _table(
            "loss",
            "Backbone's denoising loss",
            "On the site's own patches before adaptation: how far its tissue is from what the backbone was trained on; "
            "smaller is nearer.",
            [(site, result.denoising_loss) for site, result in results],
        ),
    ]
    return [table for table in tables if table.rows]


def withheld(view: RoundView) -> list[tuple[str, str, str]]:
    """Return site, metric and reason of everything that sites did not send, in words."""
    return [
        (site.site, METRICS[each.metric], REASONS[each.reason])
        for site in view.sites
        if site.result is not None
        for each in site.result.withheld
    ]


def _arms(results: Sequence[tuple[str, RoundResult]]) -> list[tuple[str, int | None]]:
    """Return the arms of which any site sent a change, in the order of the first site that has them."""
    found = ((arm.kind, arm.ratio) for _, result in results for arm in result.arms if arm.change is not None)
    return list(dict.fromkeys(found))


def _changes(
    results: Sequence[tuple[str, RoundResult]], wanted: tuple[str, int | None]
) -> Iterator[tuple[str, ChangeEstimate | None]]:
    for site, result in results:
        for arm in result.arms:
            if (arm.kind, arm.ratio) == wanted:
                yield site, arm.change


def _arm_in_words(arm: tuple[str, int | None]) -> str:
    kind, ratio = arm
    return kind.replace("+", " + ") + (f", {ratio} pairs a spot" if ratio else "")


def _table(
    name: str,
    title: str,
    about: str,
    found: Sequence[tuple[str, Wire | None]] | Iterator[tuple[str, Wire | None]],
    *,
    percent: bool = False,
    zero: bool = False,
    is_good: Callable[[Estimate], bool] = lambda _: False,
    is_bad: Callable[[Estimate], bool] = lambda _: False,
) -> ResultTable:
    factor = 100.0 if percent else 1.0
    estimates = [
        (site, Estimate(factor * each.value, factor * each.low, factor * each.high)) for site, each in found if each is not None
    ]
    if not estimates:
        return ResultTable(name, title, about, "", "", [])
    marked = zero or percent
    ends = common_range([each for _, each in estimates], zero=marked)

    def text(value: float) -> str:
        return f"{number(value, 2)} %" if percent else number(value)

    rows = []
    for site, each in estimates:
        tone = "good" if is_good(each) else "bad" if is_bad(each) else ""
        bar = interval_bar(each, ends, tone=tone, zero=marked)
        rows.append(Row(site, text(each.value), f"{text(each.low)} to {text(each.high)}", bar, tone))
    left, right = (f"{number(end, 2)}{' %' if percent else ''}" for end in ends)
    return ResultTable(name, title, about, left, right, rows)
