"""Messages of clients: the requests of the standard, over HTTP and over a websocket."""

from __future__ import annotations

from typing import Any

import msgspec

from buntime_plugin_database.shared.values import Value


class NamedArg(msgspec.Struct, frozen=True):
    """An argument for a parameter that has a name."""

    name: str
    value: Value


class Stmt(msgspec.Struct, frozen=True):
    """One statement; exactly one of `sql` and `sql_id` is given."""

    sql: str | None = None
    sql_id: int | None = None
    args: tuple[Value, ...] | None = None
    named_args: tuple[NamedArg, ...] | None = None
    want_rows: bool | None = None


class BatchStep(msgspec.Struct, frozen=True):
    """A statement that runs if its condition holds; see `conditions.py`."""

    stmt: Stmt
    condition: dict[str, Any] | None = None


class HranaBatch(msgspec.Struct, frozen=True):
    """Steps that run in order; it is the conditions that make it stop at an error."""

    steps: tuple[BatchStep, ...]


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    stream_id: int | None = None
    """Over a websocket the stream that the request is for."""


class Execute(_Request, frozen=True, kw_only=True, tag="execute"):
    """Run a statement."""

    stmt: Stmt


class RunBatch(_Request, frozen=True, kw_only=True, tag="batch"):
    """Run a batch."""

    batch: HranaBatch


class Sequence(_Request, frozen=True, kw_only=True, tag="sequence"):
    """Run the statements of a script."""

    sql: str | None = None
    sql_id: int | None = None


class Describe(_Request, frozen=True, kw_only=True, tag="describe"):
    """Parse a statement."""

    sql: str | None = None
    sql_id: int | None = None


class StoreSql(_Request, frozen=True, kw_only=True, tag="store_sql"):
    """Keep an SQL text under a number of the client's choice."""

    sql_id: int
    sql: str


class CloseSql(_Request, frozen=True, kw_only=True, tag="close_sql"):
    """Forget a kept text."""

    sql_id: int


class GetAutocommit(_Request, frozen=True, kw_only=True, tag="get_autocommit"):
    """Ask whether no transaction is open."""


class Close(_Request, frozen=True, kw_only=True, tag="close"):
    """Over HTTP: close the stream."""


class OpenStream(_Request, frozen=True, kw_only=True, tag="open_stream"):
    """Over a websocket: open a stream under a number of the client's choice."""


class CloseStream(_Request, frozen=True, kw_only=True, tag="close_stream"):
    """Over a websocket: close a stream."""


class OpenCursor(_Request, frozen=True, kw_only=True, tag="open_cursor"):
    """Over a websocket: run a batch whose results are fetched piece by piece."""

    cursor_id: int
    batch: HranaBatch


class FetchCursor(_Request, frozen=True, kw_only=True, tag="fetch_cursor"):
    """The next entries of a cursor."""

    cursor_id: int
    max_count: int


class CloseCursor(_Request, frozen=True, kw_only=True, tag="close_cursor"):
    """End a cursor; steps that did not begin will not."""

    cursor_id: int


SqlRequest = Execute | RunBatch | Sequence | Describe | GetAutocommit
"""Requests that a stream serves, whatever the transport."""

HttpRequest = SqlRequest | StoreSql | CloseSql | Close
SocketRequest = (
    SqlRequest
    | StoreSql
    | CloseSql
    | OpenStream
    | CloseStream
    | OpenCursor
    | FetchCursor
    | CloseCursor
)


class Pipeline(msgspec.Struct, frozen=True):
    """Body of `POST v2/pipeline` and `v3/pipeline`."""

    requests: tuple[HttpRequest, ...]
    baton: str | None = None


class CursorBody(msgspec.Struct, frozen=True):
    """Body of `POST v3/cursor`."""

    batch: HranaBatch
    baton: str | None = None


class ExecuteBody(msgspec.Struct, frozen=True):
    """Body of `POST v1/execute`."""

    stmt: Stmt


class HranaBatchBody(msgspec.Struct, frozen=True):
    """Body of `POST v1/batch`."""

    batch: HranaBatch


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The first message of a websocket, and any later one that changes the token."""

    jwt: str | None = None


class SocketMessage(msgspec.Struct, frozen=True, tag_field="type", tag="request"):
    """A numbered request over a websocket."""

    request_id: int
    request: SocketRequest


ClientMessage = Hello | SocketMessage
