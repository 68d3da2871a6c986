"""The reference of the metrics names what is really there, and nothing else does otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from support.api import Api
from support.live import LiveServer

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "metrics.md").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
NAME = re.compile(r"\b(?:keyval|buntime)_\w+")


@pytest.fixture(scope="module")
def families(shared_server: LiveServer, shared_api: Api) -> list[Metric]:
    """What the host shows of operations that worked, one that failed, a queue and a consumer."""
    shared_api.put("text", "text")
    shared_api.error(
        "POST", "/atomic", {"mutations": [{"type": "sum", "key": ["text"], "value": 1}]}
    )
    shared_api.json("PUT", "/queue/options", {"queue": "measured", "maxRunning": 1})
    shared_api.json("POST", "/consumers/measured/fetch", {"owner": "w"})
    text = shared_api.client.get(f"{shared_server.url}/metrics").text
    return list(text_string_to_metric_families(text))


def test_the_reference_is_complete(families: list[Metric]) -> None:
    documented = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(PAGE)
    }
    real = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        # Of what has not happened yet there are no samples.
        real[name] = (family.type, labels if family.samples else documented[name][1])
    assert documented == real


def test_every_name_in_the_page_and_the_dashboard_exists(families: list[Metric]) -> None:
    real = {sample.name for family in families for sample in family.samples}
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    named = {name for text in expressions for name in NAME.findall(text)}
    alerts = re.findall(r"^\| `(.* [><=]+ [\d.e]+)` \|", PAGE, re.MULTILINE)
    assert len(alerts) == 6
    named |= {name for text in alerts for name in NAME.findall(text)}
    assert named <= real


def test_names_follow_the_conventions(families: list[Metric]) -> None:
    # The names up to `storage_bytes` are those of the contract, which breaks some of them.
    added = [family for family in families if "_database_" in family.name]
    assert len(added) == 5
    for family in families:
        assert family.documentation[0].isupper()
        if family in added and "batches" not in family.name:
            assert family.name.endswith(("_seconds", "_bytes", "_up"))


def test_the_scrape_configuration_is_yaml() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (job,) = yaml.safe_load(block)["scrape_configs"]
    assert job["metrics_path"] == "/metrics"


def test_the_dashboard_can_be_imported() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"])
    assert {"title", "uid", "schemaVersion", "templating", "time"} <= DASHBOARD.keys()
