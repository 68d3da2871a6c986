"""Trace context of W3C, with and without OpenTelemetry."""

from __future__ import annotations

import sys

import pytest
from buntime_host.observe.logs import TRACE_ID
from buntime_host.observe.traces import Traces
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (PARENT, TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", ""),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (PARENT.upper(), ""),
        (f"{PARENT} ", ""),
        ("", ""),
    ],
)
def test_which_headers_are_taken(
    monkeypatch: pytest.MonkeyPatch, header: str, trace_id: str
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)  # it is not installed
    headers = [(b"host", b"a"), (b"traceparent", header.encode())]
    traced = Traces().begin("GET", "/a", "/a", headers)
    assert traced.id == trace_id
    assert traced.passed_on(headers) == headers
    assert Traces().begin("GET", "/a", "/a", [*headers, *headers]).id == ""
    with traced.entered():
        assert TRACE_ID.get() == (trace_id or None)
    assert TRACE_ID.get() is None


def test_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    headers = [(b"traceparent", PARENT.encode()), (b"tracestate", b"a=1")]
    traced = Traces().begin("GET", "/keys/{key}", "/keys/a", headers)
    assert traced.id == TRACE
    with traced.entered():
        inner = provider.get_tracer("plugin").start_span("inner")
        inner.end()
    traced.ended(503)
    child, span = exporter.get_finished_spans()
    assert span.name == "GET /keys/{key}"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert span.context.trace_state.to_header() == "a=1"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/keys/{key}",
        "url.path": "/keys/a",
        "http.response.status_code": 503,
    }
    assert span.status.status_code is trace.StatusCode.ERROR
    assert child.parent is not None
    assert child.parent.span_id == span.context.span_id
    line = f"00-{TRACE}-{span.context.span_id:016x}-01".encode()
    assert traced.passed_on(headers) == [(b"tracestate", b"a=1"), (b"traceparent", line)]


def test_without_a_provider_the_trace_stays_as_it_came() -> None:
    headers = [(b"traceparent", PARENT.encode())]
    traced = Traces().begin("GET", "/a", "/a", headers)
    assert traced.id == TRACE
    assert traced.passed_on(headers) == headers
    assert Traces().begin("GET", "/a", "/a", []).passed_on([]) == []
    traced.ended(200)
