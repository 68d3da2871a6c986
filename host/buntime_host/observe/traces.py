"""W3C trace context: the header `traceparent`, and spans where OpenTelemetry is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buntime_host.observe.logs import TRACE_ID

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Header = tuple[bytes, bytes]

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
_TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""Of any version: a later one may have more behind the known fields, the first one may not."""

SERVER_ERROR = 500


class Traces:
    """Begins the part of a request in its trace."""

    def __init__(self) -> None:
        self._tracer = _tracer()

    def begin(self, method: str, route: str, path: str, headers: Iterable[Header]) -> Traced:
        """Join the trace of a request with these headers, or begin one if spans are made."""
        parent = state = b""
        for name, value in headers:
            if name == TRACEPARENT:
                parent = value if not parent else b"twice"  # no trace then
            elif name == TRACESTATE:
                state = state + b"," + value if state else value
        match = _TRACEPARENT.fullmatch(parent)
        if self._tracer is not None:
            return Traced(*_begun(self._tracer, method, route, path, parent, state))
        return Traced(match[1].decode() if match else "")


class Traced:
    """The part of one request."""

    def __init__(self, trace_id: str, parent: bytes = b"", span: Span | None = None) -> None:
        self.id = trace_id
        """Of the trace, in 32 hexadecimal digits; empty if there is none."""
        self._parent = parent
        self._span = span

    def passed_on(self, headers: Iterable[Header]) -> list[Header]:
        """The headers of the request for plugins: their own calls become children of its span."""
        if not self._parent:
            return list(headers)
        kept = [pair for pair in headers if pair[0] != TRACEPARENT]
        return [*kept, (TRACEPARENT, self._parent)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Calls and tasks that begin meanwhile belong to it."""
        token = TRACE_ID.set(self.id or None)
        try:
            if self._span is None:
                yield
            else:
                from opentelemetry.trace import use_span

                with use_span(self._span, record_exception=False, set_status_on_exception=False):
                    yield
        finally:
            TRACE_ID.reset(token)

    def ended(self, status: int) -> None:
        """The request is answered with this status."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("http.response.status_code", status)
            if status >= SERVER_ERROR:
                self._span.set_status(StatusCode.ERROR)
            self._span.end()


def _tracer() -> Tracer | None:
    try:
        from opentelemetry.trace import get_tracer
    except ImportError:
        return None
    return get_tracer("buntime")


def _begun(
    tracer: Tracer, method: str, route: str, path: str, parent: bytes, state: bytes
) -> tuple[str, bytes, Span]:
    """The id of a trace, the header for children of the new span, and the span."""
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": parent.decode("latin-1"), "tracestate": state.decode("latin-1")}
    span = tracer.start_span(
        f"{method} {route}",
        TraceContextTextMapPropagator().extract({k: v for k, v in carrier.items() if v}),
        SpanKind.SERVER,
        {"http.request.method": method, "http.route": route, "url.path": path},
    )
    context = span.get_span_context()
    if not context.is_valid:  # no destination of spans is configured, and the request has no trace
        return "", b"", span
    trace_id = f"{context.trace_id:032x}"
    line = f"00-{trace_id}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return trace_id, line.encode(), span
