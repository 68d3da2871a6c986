"""`GET tables` and everything below it that reads."""

from __future__ import annotations

from typing import Any

import msgspec
from buntime_database import Value as SqlValue
from buntime_host import BadRequest, choice_of, flag_of
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.bodies import doubled_member, json_response
from buntime_plugin_database.faces.http.catalogue import (
    TableColumn,
    describe_table,
    find_column,
    find_table,
    list_columns,
    list_tables,
    quoted,
    row_id,
)
from buntime_plugin_database.faces.http.sessions import RequestSessions, SessionPart
from buntime_plugin_database.faces.http.statements import count_rows, select_rows, where
from buntime_plugin_database.faces.http.values import BLOB_FORMS, column_objects, rows_as_json
from buntime_plugin_database.faces.large import hand_of
from buntime_plugin_database.faces.targets import Targets

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class TableRoutes:
    """The endpoints that show tables."""

    def __init__(self, sessions: RequestSessions, targets: Targets) -> None:
        self._sessions = sessions
        self._targets = targets

    async def tables(self, request: Request) -> Response:
        """`GET tables`: list tables and views; `counts` counts their rows."""
        target = self._targets.of(request, needs="read")
        counts = flag_of(request, "counts")
        async with self._sessions.open(target, hand_of(request), readonly=True) as session:
            tables: list[dict[str, Any]] = []
            for table in await list_tables(session):
                entry: dict[str, Any] = {"name": table.name, "type": table.type}
                if counts:
                    counted = await session.execute(count_rows(quoted(table.name)))
                    entry["rowCount"] = counted.rows[0][0]
                tables.append(entry)
        return json_response({"tables": tables, "type": self._sessions.engine(target)})

    async def schema(self, request: Request) -> Response:
        """`GET tables/{name}/schema`: columns, keys and indexes of a table."""
        target = self._targets.of(request, needs="read")
        async with self._sessions.open(target, hand_of(request), readonly=True) as session:
            table = await find_table(session, request.path_params["name"])
            described = await describe_table(session, table)
        return json_response(
            {**described, "table": table.name, "type": self._sessions.engine(target)}
        )

    async def rows(self, request: Request) -> Response:
        """`GET tables/{name}/rows`: a page of rows, sorted and filtered.

        With `rowid` rows of a table without a primary key have a member that names them.
        """
        target = self._targets.of(request, needs="read")
        limit = min(_number(request, "limit", DEFAULT_LIMIT), MAX_LIMIT)
        offset = _number(request, "offset", 0)
        blobs_as_text = choice_of(request, "blob", BLOB_FORMS) == "text"
        names_rows = flag_of(request, "rowid")
        async with self._sessions.open(target, hand_of(request), readonly=True) as session:
            table = await find_table(session, request.path_params["name"])
            columns = await list_columns(session, table)
            condition, args = _filter(request, session, columns)
            name = quoted(table.name)
            row = row_id(session, table, columns) if names_rows else None
            result = await session.execute(
                select_rows(name, condition, _order(request, columns), row), [*args, limit, offset]
            )
            counted = await session.execute(count_rows(name, condition), args)
        rows = await rows_as_json(result, blobs_as_text=blobs_as_text)
        return json_response(
            {
                "limit": limit,
                "offset": offset,
                "rows": rows,
                "columns": column_objects(result.columns),
                "table": table.name,
                "total": counted.rows[0][0],
            }
        )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} must be a number that is not negative")
    return int(text)


def _order(request: Request, columns: list[TableColumn]) -> str:
    direction = request.query_params.get("dir", "asc").lower()
    if direction not in ("asc", "desc"):
        raise BadRequest("dir must be asc or desc")
    by = request.query_params.get("orderBy")
    return "" if by is None else f"{find_column(columns, by)} {direction.upper()}"


def _filter(
    request: Request, session: SessionPart, columns: list[TableColumn]
) -> tuple[str, list[SqlValue]]:
    text = request.query_params.get("filter")
    if not text:
        return "", []
    try:
        wanted = msgspec.json.decode(text, type=dict[str, Any])
        doubled = doubled_member(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"filter must be a JSON object: {error}") from None
    if doubled is not None:
        raise BadRequest(f"filter: {doubled}")
    return where(session.family, columns, wanted)
