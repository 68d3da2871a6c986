"""Running the wire-level cases of the contract, those with event streams too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.api import JSON_HEADERS, NOTHING, Api
from support.matching import differences, fill_in, member, parse_json
from support.sse import EventStream, event_stream
from support.waiting import PATIENCE


def read_vectors(path: Path) -> list[dict[str, Any]]:
    """The cases of a file, one on each line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_vector(api: Api, vector: dict[str, Any]) -> None:
    """Run a case over an empty store.

    A case that pauses tells nothing where what it does before and after took as long as its pauses:
    what it waits for has come too early. It is run once more then.
    """
    pauses = [step["sleepMs"] / 1000 for step in vector["steps"] if "sleepMs" in step]
    deadline = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        problem = _first_problem(api, vector)
        took = time.monotonic() - began - sum(pauses)
        if problem is None or not pauses or took < min(pauses) / 2 or began > deadline:
            break
        api.empty()
        api.empty_queue()
    assert problem is None, problem


def _first_problem(api: Api, vector: dict[str, Any]) -> str | None:
    known: dict[str, Any] = {}
    for number, step in enumerate(vector["steps"], 1):
        if problems := list(_run(api, step, known)):
            return f"step {number}: {problems}"
    return None


def _run(api: Api, step: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    time.sleep(step.get("sleepMs", 0) / 1000)
    if "method" not in step:
        return
    expected: dict[str, Any] = fill_in(step.get("expect", {}), known)
    query = fill_in(step.get("query", {}), known)
    if "sse" in expected:
        with event_stream(api.base, fill_in(step["path"], known), query=query) as stream:
            yield from _follow(api, stream, expected, known)
        return
    response = api.send(
        step["method"],
        fill_in(step["path"], known),
        fill_in(step["body"], known) if "body" in step else NOTHING,
        query=query,
        content=step.get("rawBody"),
        headers=step.get("headers", JSON_HEADERS if "rawBody" in step else {}),
    )
    statuses = expected.pop("status", response.status_code)
    if response.status_code not in (statuses if isinstance(statuses, list) else [statuses]):
        yield f"status {response.status_code}, wanted {statuses}: {response.text}"
        return
    for name, value in expected.pop("headers", {}).items():
        if value not in response.headers.get(name, ""):
            yield f"{name} is {response.headers.get(name)!r}, wanted {value!r}"
    if "text" in expected:
        yield from (
            f"the text lacks {text}" for text in expected["text"] if text not in response.text
        )
        return
    got = parse_json(response.text)
    known.update({name: member(got, place) for name, place in step.get("save", {}).items()})
    for form, wanted in expected.items():
        assert form in ("json", "contains"), f"this runner does not know {form}"
        yield from differences(wanted, got, partial=form == "contains")


def _follow(
    api: Api, stream: EventStream, expected: dict[str, Any], known: dict[str, Any]
) -> Iterator[str]:
    if stream.status != expected["status"]:
        yield f"status {stream.status}"
    for name, value in expected.get("headers", {}).items():
        if value not in stream.headers.get(name, ""):
            yield f"{name} is {stream.headers.get(name)!r}, wanted {value!r}"
    for item in expected["sse"]:
        if "do" in item:
            yield from _run(api, item["do"], known)
        elif "quietMs" in item:
            if not stream.is_quiet(item["quietMs"] / 1000):
                yield "an event came where none should"
        else:
            event = stream.next()
            assert event is not None
            if event.event != item["event"]:
                yield f"event is {event.event}, wanted {item['event']}"
            for form in ("json", "contains"):
                if form in item:
                    yield from differences(
                        item[form], event.data, partial=form == "contains", at="data"
                    )
    if expected.get("framing") == "lf" and any(b"\r" in chunk for chunk in stream.chunks):
        yield "a frame has a carriage return"
