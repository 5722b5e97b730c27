"""A policy in words, field by field."""

from __future__ import annotations

from c2lst_client.rounds.policy import Policy

MODES = {"auto": "rounds within the limits run", "ask": "every round waits for approval", "never": "no round runs"}
EXPORTS = {"allow": "synthetic pairs may leave by the rule of privacy", "never": "no synthetic pair leaves"}


def policy_words(policy: Policy) -> dict[str, str]:
    """Return what each field says."""
    return {
        "mode": MODES[policy.mode],
        "max_steps": str(policy.max_steps),
        "max_hours": f"{policy.max_hours:g}",
        "organs": ", ".join(policy.organs) if policy.organs is not None else "all that there are spots of",
        "window": policy.window or "always",
        "withhold": ", ".join(policy.withhold) or "nothing",
        "min_spots": str(policy.min_spots),
        "export": EXPORTS[policy.export],
        "keep_rounds_days": str(policy.keep_rounds_days),
        "fab_sha256": policy.fab_sha256 or "that of the installed package",
    }
