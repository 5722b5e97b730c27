"""Does it help at this site, how much, at what ratio, at what cost: in plain words, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from c2lst_client.arms import length_label
from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.statistics import direction, finding, shorter_does
from c2lst_client.report.words import duration
from c2lst_client.study.design import AUGMENTED, REAL, StudyDesign, best_arms
from c2lst_client.study.results import Control, EfficiencyPoint, RatioRow

LITTLE = 0.02  # a relative change of the error below this is called a little one


def write_verdict(
    design: StudyDesign,
    points: Sequence[EfficiencyPoint],
    ratios: Sequence[RatioRow],
    controls: Sequence[Control],
    seconds: dict[str, float],
) -> list[str]:
    """Say what the study found, a sentence for each question."""
    plain, both = best_arms(design)
    found = {(each.method, each.arm, each.against): each.change for each in controls}
    primary = found["random", both, AUGMENTED]
    as_long = found["random", both, length_label(AUGMENTED, design.predictor.steps)]
    blocked = found["blocked", both, AUGMENTED]
    sentences = [
        f"{opening(primary, as_long)} At {100 * design.main:g} % of the spots, {both} against {AUGMENTED}, trained as long or "
        f"shorter, whichever is best for it: {words(primary)}; trained as long: {words(as_long)}. "
        f"Where no held-out patch overlaps a training patch: {words(blocked)}.",
        f"Without augmentation in either arm: {words(found['random', plain, REAL])}; "
        f"against augmentation alone: {words(found['random', plain, AUGMENTED])}.",
        _about_condition(
            found["random", plain, _control(controls, "shuffled")], found["random", plain, _control(controls, "unadapted")]
        ),
        _about_fractions(points, both, design),
        _about_ratios(ratios),
        f"Cost on this machine, all divisions: {duration(seconds.get('adapt', 0.0))} of adaptation, "
        f"{duration(seconds.get('synthesise', 0.0))} of generating pairs, "
        f"{duration(seconds.get('co-train', 0.0))} of training predictors.",
    ]
    floor = found["random", REAL, "mean"]
    if direction(floor) != "better":
        sentences.insert(1, f"Read this with care: real spots alone are not shown to beat their mean ({words(floor)}).")
    return sentences


def words(change: Interval) -> str:
    """A relative change in words: -3.1 % [-5.0, -1.2]."""
    return f"{100 * change.value:+.1f} % [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def opening(primary: Interval, as_long: Interval) -> str:
    """Answer the question in a sentence; one of hardly any size says so."""
    if shorter_does(primary, as_long):
        return "There is no evidence that synthetic pairs help at this site: real spots alone, trained for less, do better."
    amount = ", a little" if abs(primary.value) < LITTLE else ""
    return {
        "better": f"Synthetic pairs help at this site{amount}.",
        "worse": f"Synthetic pairs hurt at this site{amount}.",
        "unclear": "There is no evidence that synthetic pairs help at this site.",
    }[finding(primary, as_long)]


def _control(controls: Sequence[Control], kind: str) -> str:
    return next(each.against for each in controls if kind in each.against)


def _about_condition(shuffled: Interval, unadapted: Interval) -> str:
    told = {
        "better": "The condition matters",
        "worse": "The condition does harm",
        "unclear": "There is no evidence that the condition matters",
    }[direction(shuffled)]
    return (
        f"{told}: against the same patches with shuffled expression {words(shuffled)}, against patches of the unadapted "
        f"backbone {words(unadapted)}."
    )


def _about_fractions(points: Sequence[EfficiencyPoint], arm: str, design: StudyDesign) -> str:
    ours = sorted((each for each in points if each.arm == arm and each.method == "random"), key=lambda each: each.fraction)
    told = "; ".join(f"{each.train_spots} spots {words(each.against_augmentation)}" for each in ours)
    helped = [each for each in ours if direction(each.against_augmentation) == "better"]
    sizes = " and ".join(str(each.train_spots) for each in helped)
    lead = f"A gain is shown with {sizes} spots" if helped else "At no number of spots is a gain shown"
    one = "; the interval of a single division is too narrow" if design.repeats == 1 else ""
    return f"{lead}: {told} ({arm} against {AUGMENTED}{one})."


def _about_ratios(ratios: Sequence[RatioRow]) -> str:
    mixed = [row for row in ratios if row.arm.startswith("real + synthetic")]
    best = min(mixed, key=lambda row: row.error.value)
    return (
        f"Of the ratios, {best.ratio} pairs per spot does best ({words(best.against_real)} against real only; "
        f"{100 * best.genes_better:.0f} % of {best.genes} genes improve); it was picked after looking, so its figure flatters."
    )
