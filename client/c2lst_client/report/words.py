"""Numbers and results in words, for a reader who is no statistician."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Literal

from c2lst_client.evaluate.results import ConditioningResult, CotrainResult, Interval
from c2lst_client.evaluate.statistics import Direction, direction, finding, shorter_does

Tone = Literal["good", "unclear", "bad"]
TONES: dict[Direction, Tone] = {"better": "good", "unclear": "unclear", "worse": "bad"}
NBSP = "\N{NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"


def decimal(value: float, digits: int = 2) -> str:
    """Return `value` with a true minus sign and without a negative zero."""
    if not math.isfinite(value):
        return "not defined"
    text = f"{value:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else f"{0:.{digits}f}"


def percent(value: float) -> str:
    """Return a relative change with its sign, `0.02` as `+2.0 %`."""
    text = decimal(100 * value, 1)
    return f"{'+' if float(f'{100 * value:.1f}') > 0 else ''}{text}{NBSP}%"


def interval(estimate: Interval, form: Callable[[float], str] = decimal) -> str:
    """Return the bounds of an interval, `0.71 to 0.85`."""
    return f"{form(estimate.low)} to {form(estimate.high)}"


def duration(seconds: float) -> str:
    """Return `7.2 s`, `2 min 05 s` or `1 h 12 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02}{NBSP}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes:02}{NBSP}min"


def command(step: str, site: str) -> str:
    """Return the command line that runs `step` for `site`."""
    return f"c2lst-client {step} --site {shlex.quote(site)}"


def typeset(text: str) -> str:
    """Return a label or sentence of a result with true minus and multiplication signs, and no line break before `%`."""
    text = re.sub(r"(?<!\w)-(?=\d)", MINUS, text)
    return re.sub(r"\bx(?=\d)", TIMES, text).replace(" %", f"{NBSP}%")


def headline(verdict: str) -> tuple[str, str]:
    """Return the first sentence of a verdict, and the others."""
    first, stop, rest = verdict.partition(". ")
    return (f"{first}.", rest) if stop else (verdict, "")


def tone(change: Interval) -> Tone:
    """Say whether a change of the error is good news, bad news, or neither."""
    return TONES[direction(change)]


def finding_tone(best: Interval, as_long: Interval | None) -> Tone:
    """Say whether what synthetic pairs do is good news, bad news, or neither."""
    return TONES[finding(best, as_long)]


def cotrain_tone(result: CotrainResult) -> Tone:
    """Say whether what synthetic pairs do at a site is good news, bad news, or neither."""
    return finding_tone(result.primary.change, result.as_long.change if result.as_long else None)


def explain_cotrain(result: CotrainResult) -> str:
    """Return what the verdict means, for a reader who knows tissue rather than statistics."""
    setting = (
        f"A predictor learned to read the expression of {len(result.genes)} genes from tissue patches, once from "
        f"{result.train_spots} real spots and once from the same spots plus synthetic pairs, with equally many training steps; "
        f"both were then tested on {result.test_spots} real spots that neither training nor the generator had seen. "
    )
    as_long = result.as_long.change if result.as_long else None
    if shorter_does(result.primary.change, as_long):
        return (
            f"{setting}With synthetic pairs its errors were larger than with real spots alone that were trained for less, and "
            "not larger than with those that were trained as long: it is the shorter training that did better."
        )
    return (
        setting
        + {
            "good": "With synthetic pairs its errors were smaller, by more than chance explains on this slide.",
            "unclear": "The interval includes no change at all: on this slide nobody can tell whether synthetic pairs help "
            "or hurt. That is not proof that they are useless; more held-out spots or another slide would say more.",
            "bad": "With synthetic pairs its errors were larger, by more than chance explains: train on real spots alone.",
        }[cotrain_tone(result)]
    )


def conditioning_tone(result: ConditioningResult) -> Tone:
    """Say whether generated tissue follows the expression."""
    return "good" if result.r.low > max(0.0, result.shuffled_r.high) else "unclear"


def explain_conditioning(result: ConditioningResult, faults: Sequence[str] = ()) -> str:
    """Return what the correlation means, against its control and its yardstick; `faults` of the patches come first."""
    if conditioning_tone(result) == "unclear":
        return (
            f"The correlation ({interval(result.r)}) is not clearly above that of shuffled conditions "
            f"({interval(result.shuffled_r)}): there is no evidence that the synthetic tissue follows the expression."
        )
    meaning = (
        "The patches do not look like tissue yet, so what was counted as nuclei are merely dark pixels: the generator "
        "listens to the expression but cannot draw. "
        if faults
        else "Where the genes of a spot belong to cell-dense tissue, the generator draws more nuclei. "
    )
    return (
        meaning + "With the expression shuffled between spots, which is what no connection looks like, the correlation is "
        f"{decimal(result.shuffled_r.value)}. A plain regression from the same genes to the same nuclear fraction reaches "
        f"{decimal(result.ridge_r.value)}: about what these genes say about nuclei at all, so a yardstick for the generator."
    )


def explain_genes(best: float, others: float) -> str:
    """Return what it means where the error changed, given the median changes of the best predicted genes and of the others."""
    finding = (
        f"In the quarter of genes that tissue predicts best the error changes by {percent(best)} in the median, in the others "
        f"by {percent(others)}. "
    )
    if others < 0 <= best:
        return finding + (
            "So the gain comes from genes that tissue hardly predicts, where an answer closer to the mean is already a smaller "
            "error: that suggests a predictor that became more cautious rather than sharper."
        )
    if best < 0 <= others:
        return finding + "So what gain there is lies in genes whose pattern tissue shows, and other genes pay for it."
    if best < 0:
        return finding + "So the gain reaches the genes whose pattern tissue shows."
    return finding + "So there is no gain to explain."
