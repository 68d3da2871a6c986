"""The wire-level cases of the contract, run against a live server.

Each line of `vectors.jsonl` is one case over an empty store: steps with a request, what is
expected of the answer, and values of it that later steps use as `{{name}}`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.api import JSON_HEADERS, NOTHING, Api
from support.matching import differences, fill_in, member, parse_json

LINES = Path(__file__).with_name("vectors.jsonl").read_text(encoding="utf-8").splitlines()
VECTORS: list[dict[str, Any]] = [json.loads(line) for line in LINES]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(api: Api, vector: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    for number, step in enumerate(vector["steps"], 1):
        problems = list(_run(api, step, known))
        assert not problems, f"step {number}: {problems}"


def _run(api: Api, step: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """Run one step; what is wrong with its answer."""
    time.sleep(step.get("sleepMs", 0) / 1000)
    if "method" not in step:
        return []
    response = api.send(
        step["method"],
        fill_in(step["path"], known),
        fill_in(step["body"], known) if "body" in step else NOTHING,
        query=fill_in(step.get("query", {}), known),
        content=step.get("rawBody"),
        headers=step.get("headers", JSON_HEADERS if "rawBody" in step else {}),
    )
    expected: dict[str, Any] = fill_in(step.get("expect", {}), known)
    statuses = expected.pop("status", response.status_code)
    if response.status_code not in (statuses if isinstance(statuses, list) else [statuses]):
        return [f"status {response.status_code}, wanted {statuses}: {response.text}"]
    got = parse_json(response.text)
    known.update({name: member(got, place) for name, place in step.get("save", {}).items()})
    problems: list[str] = []
    for form, wanted in expected.items():
        assert form in ("json", "contains"), f"this runner does not know {form}"
        problems += differences(wanted, got, partial=form == "contains")
    return problems
