"""Results of rounds in lines for people."""

from __future__ import annotations

from c2lst_shared.wire import ChangeEstimate, CorrelationEstimate, LossEstimate, RoundResult


def result_lines(site: str, result: RoundResult) -> list[str]:
    """Return what a site sent, one number a line, and what it withheld."""
    spots = "" if result.train_spots is None else f", {result.train_spots} training and {result.held_out_spots} held-out spots"
    genes = "" if result.genes is None else f", {result.genes} genes"
    lines = [f"{site}{spots}{genes}"]
    for label, estimate in (
        ("backbone's denoising loss", result.denoising_loss),
        ("conditioning r", result.conditioning_r),
        ("concordance", result.concordance),
    ):
        if estimate is not None:
            lines.append(f"  {label:<38} {_interval(estimate)}")
    for arm in result.arms:
        label = arm.kind.replace("+", " + ") + (f" x{arm.ratio}" if arm.ratio else "")
        mae = f"MAE {_interval(arm.mae)}" if arm.mae else ""
        change = f"change {_interval(arm.change)}" if arm.change else ""
        lines.append(f"  {label:<38} {mae}  {change}".rstrip())
    if result.seconds is not None:
        lines.append(f"  {'seconds of work':<38} {result.seconds}")
    if result.peak_memory_mib is not None:
        lines.append(f"  {'peak memory, MiB':<38} {result.peak_memory_mib}")
    lines += [f"  withheld: {each.metric} ({each.reason.replace('_', ' ')})" for each in result.withheld]
    return lines


def _interval(estimate: LossEstimate | CorrelationEstimate | ChangeEstimate) -> str:
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"
