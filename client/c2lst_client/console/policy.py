"""The policy: what this institution agrees to, shown and changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, get_args

from c2lst_client.console.reading_forms import Form
from c2lst_client.console.site_console import Console, acting, go_to, showing
from c2lst_client.rounds.declared_numbers import RESULT
from c2lst_client.rounds.policy import Policy, change_policy, load_policy
from c2lst_client.rounds.policy_words import policy_words
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import MIN_SPOTS, Metric

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger(__name__)

HERE = "/policy"


def routes() -> list[Route]:
    """Return the page and what its button does."""
    return [showing(HERE, show_policy), acting(HERE, set_policy)]


def show_policy(console: Console, request: Request) -> Response:
    """Show the policy in force, as a form."""
    policy = load_policy(console.home)
    return _page(console, request, policy, _fields(policy))


def set_policy(console: Console, request: Request, form: Form) -> Response:
    """Change the policy, or say what cannot be had."""
    before = load_policy(console.home)
    try:
        after = change_policy(console.home, _changes(form))
    except BadInput as error:
        return _page(console, request, before, _typed(form), str(error), 422)
    old, new = policy_words(before), policy_words(after)
    changed = [f"{name} is now: {new[name]}" for name in new if new[name] != old[name]]
    if not changed:
        return go_to(request, HERE, "good", "Nothing was changed.")
    log.info("The policy was changed in the console.")
    return go_to(request, HERE, "good", f"Saved. {'; '.join(changed)}. It holds from now on, also for work that runs.")


def _changes(form: Form) -> dict[str, object]:
    """Return the fields of the policy as the form has them; what the policy cannot have is found when it is made."""
    opens, closes = form.text("opens"), form.text("closes")
    organs = tuple(word.strip() for word in form.text("organs").split(",") if word.strip())
    return {
        "mode": form.text("mode"),
        "max_steps": form.text("max_steps"),
        "max_hours": form.text("max_hours"),
        "organs": organs or None,
        "window": f"{opens}-{closes}" if opens or closes else None,
        "withhold": tuple(form.texts("withhold")),
        "min_spots": form.text("min_spots"),
        "export": form.text("export"),
        "keep_rounds_days": form.text("keep_rounds_days"),
    }


def _fields(policy: Policy) -> dict[str, object]:
    opens, _, closes = (policy.window or "").partition("-")
    return {
        "mode": policy.mode,
        "max_steps": policy.max_steps,
        "max_hours": f"{policy.max_hours:g}",
        "organs": ", ".join(policy.organs or ()),
        "opens": opens,
        "closes": closes,
        "withhold": policy.withhold,
        "min_spots": policy.min_spots,
        "export": policy.export,
        "keep_rounds_days": policy.keep_rounds_days,
    }


def _typed(form: Form) -> dict[str, object]:
    names = ("mode", "max_steps", "max_hours", "organs", "opens", "closes", "min_spots", "export", "keep_rounds_days")
    return {name: form.text(name) for name in names} | {"withhold": form.texts("withhold")}


def _page(
    console: Console, request: Request, policy: Policy, fields: dict[str, object], refusal: str = "", status: int = 200
) -> Response:
    labels: dict[str, list[str]] = {name: [] for name in get_args(Metric)}
    for declared in RESULT:
        if declared.metric is not None:
            labels[declared.metric].append(declared.label)
    return console.page(
        request,
        "policy.html.j2",
        HERE,
        {
            "policy": policy,
            "is_set": console.home.policy.exists(),
            "fields": fields,
            "refusal": refusal,
            "metrics": [(name, ", ".join(words)) for name, words in labels.items()],
            "least_spots": MIN_SPOTS,
        },
        code=status,
    )
