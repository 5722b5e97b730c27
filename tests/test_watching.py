"""What dashboard, alerts and documents ask Prometheus for is what the code tells it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.central import Central
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from c2lst_client.home import Home
from c2lst_client.metrics import SiteMetrics
from c2lst_server.app import create_app
from c2lst_server.db.models import Round, RoundSite, Site

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "docker" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboard.json"
OPERATIONS = ROOT / "docs" / "operations.md"
NAME = re.compile(r"\b(?:c2lst|process)_[a-z0-9_]+")

Samples = dict[str, set[tuple[str, str]]]  # name -> label and value


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Every sample of a centre and of a site that have some of everything."""
    central = Central(tmp_path_factory.mktemp("watched") / "central")
    central.publish("first")
    now = datetime.now(UTC)
    with central.session() as session:
        session.add(Site(name="hospital-a", state="active", added=now))
        row = Round(round_id="0" * 16, offer="{}", started=now, deadline=now)
        row.sites = [RoundSite(site="hospital-a", state="failed"), RoundSite(site="b", state="running", error="deadline")]
        session.add(row)
        session.commit()
    metrics = create_app(central.settings).state.metrics
    metrics.requests.labels("GET", "/healthz", "200").inc()
    metrics.seconds.labels("/healthz").observe(1)
    metrics.database_errors.labels("OperationalError").inc()
    site = CollectorRegistry()
    site.register(SiteMetrics(Home(tmp_path_factory.mktemp("site")), lambda: {"node": (True, 1)}))
    central.engine.dispose()
    found: Samples = {}
    for registry in (metrics.registry, site):
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels.items())
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterable[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in alerts())
    yield from ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_told(told: Samples, where: str, expression: str) -> None:
    names = NAME.findall(expression)
    assert names or "up{" in expression
    for name in names:
        assert name in told, (where, name)
        for selector in re.findall(rf"{name}\{{([^}}]*)\}}", expression):
            for label, value in re.findall(r'(\w+)(?:=|=~|!~|!=)"([^"]*)"', selector):
                labels = dict.fromkeys(pair[0] for pair in told[name])
                assert label in labels or label == "job", (where, name, label)
                if label in {"role", "state"}:
                    known = {pair[1] for pair in told[name] if pair[0] == label}
                    assert set(value.split("|")) <= known, (where, name, value)


def test_labels_that_are_summed_by_exist(told: Samples) -> None:
    for where, expression in expressions():
        for label in re.findall(r"by \((\w+)\)", expression):
            assert any(label in {pair[0] for pair in told[name]} for name in NAME.findall(expression)), (where, label)


def test_legends_name_labels_that_exist(told: Samples) -> None:
    for panel in panels():
        for target in panel["targets"]:
            labels = {pair[0] for name in NAME.findall(target["expr"]) for pair in told[name]}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]


def stem(name: str) -> str:
    """A metric's name without what its samples add to it; `_created` of a counter is beside `_total`."""
    return re.sub(r"_(bucket|sum|count|created|total)$", "", name)


def test_every_own_metric_is_on_the_dashboard(told: Samples) -> None:
    shown = {stem(name) for panel in panels() for target in panel["targets"] for name in NAME.findall(target["expr"])}
    hidden = {"c2lst_client_state_readable"}  # the centre's is shown; a site's stands in the document
    assert {stem(name) for name in told if name.startswith("c2lst_")} - hidden <= shown


def test_panels_lie_side_by_side() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [(x, y) for place in places for x in range(place["x"], place["x"] + place["w"]) for y in (place["y"],)]
    assert len(cells) == len(set(cells))
    assert max(place["x"] + place["w"] for place in places) <= 24


def test_every_alert_says_what_is_wrong_and_is_in_the_document() -> None:
    document = OPERATIONS.read_text()
    for rule in alerts():
        assert rule["annotations"]["summary"].endswith((".", "}}."))
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert f"`{rule['alert']}`" in document, rule["alert"]


def test_every_metric_is_in_the_document(told: Samples) -> None:
    document = OPERATIONS.read_text()
    for name in told:
        if name.startswith("c2lst_"):
            assert re.search(rf"`{stem(name)}(_total)?`", document), name


def test_metrics_of_the_document_exist(told: Samples) -> None:
    named = set(re.findall(r"`((?:c2lst_server|c2lst_client)_[a-z_]+)`", OPERATIONS.read_text()))
    assert named <= {*told, *(name.removesuffix("_bucket") for name in told)}
