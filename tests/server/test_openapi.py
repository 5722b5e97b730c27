"""The description of the interface is complete and true: what it says is what is answered, whatever is sent."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from fakes.central import Central
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from pydantic import BaseModel
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from c2lst_server.administrators import Scope, add
from c2lst_server.app import create_app
from c2lst_server.description import EXAMPLES

METHODS = {"get", "post", "put", "delete", "patch"}


@pytest.fixture(scope="module")
def described(template: Central, tmp_path_factory: pytest.TempPathFactory) -> Any:
    central = template.copy(tmp_path_factory.mktemp("described") / "central")
    central.settings = central.settings.model_copy(
        update={"rate_per_address": "1000000/second", "rate_sign_in": "1000000/second", "images": central.home.path / "images"}
    )
    (central.home.path / "images" / "mob-sections").mkdir(parents=True)
    central.invite(tmp_path_factory.mktemp("file") / "f")
    with central.session() as session:
        token = add(session, "fuzz", list(Scope), days=1)
    app = create_app(central.settings)
    loaded = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    loaded.token = token
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_sent_the_answer_is_one_that_was_described(described: Any, mode: GenerationMode) -> None:
    """With what the description allows, and with what it does not."""
    checks = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
    tried = 0
    for operation in (result.ok() for result in described.get_all_operations()):
        headers = {"Authorization": f"Bearer {described.token}"} if "/admin/" in operation.path else {}

        @seed(0)
        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            case.validate_response(case.call(headers=headers), checks=list(checks))  # noqa: B023 - called in this turn

        with suppress(Unsatisfiable):  # a call without parameters has no wrong ones
            check()
            tried += 1
    assert tried >= 5


def operations(described: Any) -> list[tuple[str, dict[str, Any]]]:
    paths: dict[str, dict[str, Any]] = described.raw_schema["paths"]
    return [(f"{method} {path}", call) for path, calls in paths.items() for method, call in calls.items() if method in METHODS]


def test_every_call_is_described_with_its_refusals(described: Any) -> None:
    found = operations(described)
    assert len(found) >= 12
    for name, call in found:
        assert call["description"], name
        assert {"429", "500", "503"} <= set(call["responses"]), name
        for status, answer in call["responses"].items():
            assert answer["description"], (name, status)
            if int(status) >= 400 and status != "416":
                assert answer["content"]["application/problem+json"]["example"]["status"] == int(status), (name, status)


def test_every_body_and_answer_has_an_example(described: Any) -> None:
    for name, call in operations(described):
        for part in (call.get("requestBody", {}), *(call["responses"].get(status, {}) for status in ("200", "201"))):
            for media, content in part.get("content", {}).items():
                if media not in {"application/octet-stream", "image/png"}:
                    assert content.get("example"), (name, media)


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: model.__name__)
def test_example_is_one(model: type[BaseModel]) -> None:
    model.model_validate(EXAMPLES[model])
