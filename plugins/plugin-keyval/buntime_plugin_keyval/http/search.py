"""Endpoints of full-text search: `/indexes` and `/search`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from buntime_keyval import SearchIndex
from buntime_keyval.wire import InvalidInput, Key, key_to_json
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.searching import parse_marks, parse_snippet, parse_weights

from buntime_plugin_keyval.http import inputs
from buntime_plugin_keyval.http.answers import Answer
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.search.asking import (
    SearchOptions,
    SearchPage,
    make_search_cursor,
    parse_search_cursor,
)
from buntime_plugin_keyval.search.indexes import parse_options
from buntime_plugin_keyval.service import KeyValService

OK = '{"ok":true}'


async def create_index(service: KeyValService, request: Request) -> str:
    """`POST /indexes`: the options in `options`, or beside the prefix."""
    body = await request.json_object()
    prefix = _body_prefix(body)
    given = _merged(body)
    options = parse_options(given.get("fields"), given.get("tokenize"))
    await service.search.create_index(prefix, options)
    return OK


async def list_indexes(service: KeyValService, request: Request) -> str:
    """`GET /indexes`"""
    infos = [_info_json(info) for info in await service.search.list_indexes()]
    return f"[{','.join(infos)}]"


async def remove_index(service: KeyValService, request: Request) -> str:
    """`DELETE /indexes`: the prefix as a query parameter, or in a JSON body."""
    raw: object = request.query("prefix")
    if not raw:
        content = await request.body()
        raw = inputs.parse_object(content).get("prefix") if content else None
    if not raw:
        raise InvalidInput("Missing 'prefix' query parameter")
    await service.search.remove_index(inputs.parse_body_key(raw))
    return OK


async def search(service: KeyValService, request: Request) -> Answer:
    """`GET /search`"""
    prefix, query = request.query("prefix"), request.query("query")
    if not prefix:
        raise InvalidInput("Missing 'prefix' query parameter")
    if query is None:
        raise InvalidInput("Missing 'query' query parameter")
    options = SearchOptions(
        limit=inputs.parse_limit(request.query("limit")),
        reverse=request.query("reverse") == "true",
        start=inputs.parse_bound(request.query("start")),
        end=inputs.parse_bound(request.query("end")),
        fuzzy=request.query("fuzzy") == "true",
    )
    page = await service.search.search(inputs.parse_body_key(prefix), query, options)
    return _answer_hits(page)


async def search_by_body(service: KeyValService, request: Request) -> Answer:
    """`POST /search`: the options in `options`, or beside prefix and query."""
    prefix, query, options = await _body_search(request)
    return _answer_hits(await service.search.search(prefix, query, options))


async def paginate_search(service: KeyValService, request: Request) -> str:
    """`POST /search/paginate`: as `POST /search`, a page at a time."""
    prefix, query, options = await _body_search(request)
    page = await service.search.search(prefix, query, options)
    cursor = f'"{make_search_cursor(options)}"' if page.has_more else "null"
    more = "true" if page.has_more else "false"
    rest = "".join(
        f',"{name}":{msgspec.json.encode(remark).decode()}'
        for name, remark in _remarks(page).items()
    )
    return f'{{"entries":[{page.entries}],"cursor":{cursor},"hasMore":{more}{rest}}}'


def _answer_hits(page: SearchPage) -> Answer:
    """The hits as an array, which has no room for remarks: these are headers of ASCII JSON."""
    headers = {"warnings": b"x-buntime-warnings", "searchedFor": b"x-buntime-searched-for"}
    found = [(headers[name], json.dumps(it).encode()) for name, it in _remarks(page).items()]
    return Answer(200, f"[{page.entries}]", headers=tuple(found))


def _remarks(page: SearchPage) -> dict[str, object]:
    """What is to be said beside the hits."""
    remarks: dict[str, object] = {}
    if page.warnings:
        remarks["warnings"] = page.warnings
    if page.searched_for is not None:
        remarks["searchedFor"] = page.searched_for
    return remarks


async def _body_search(request: Request) -> tuple[Key, str, SearchOptions]:
    body = await request.json_object()
    prefix = _body_prefix(body)
    query = inputs.parse_text("query", body.get("query"))
    if query is None:
        raise InvalidInput("query is required")
    given = _merged(body)
    options = SearchOptions(
        limit=inputs.parse_limit(given.get("limit")),
        offset=parse_search_cursor(inputs.parse_text("cursor", given.get("cursor"))),
        reverse=inputs.parse_flag("reverse", given.get("reverse")),
        where=inputs.parse_filter(given.get("where")),
        start=inputs.parse_bound(given.get("start")),
        end=inputs.parse_bound(given.get("end")),
        weights=parse_weights(given.get("weights")),
        highlight=parse_marks(given.get("highlight")),
        snippet_words=parse_snippet(given.get("snippet")),
        fuzzy=inputs.parse_flag("fuzzy", given.get("fuzzy")),
    )
    return prefix, query, options


def _body_prefix(body: Mapping[str, Any]) -> Key:
    raw = body.get("prefix")
    if raw in (None, "", []):
        raise InvalidInput("prefix is required")
    return inputs.parse_body_key(raw)


def _merged(body: Mapping[str, Any]) -> dict[str, Any]:
    """Options beside the rest of the body, which one client sends, and in `options`, which wins."""
    options = body.get("options")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise InvalidInput(f"options must be an object, received {describe(options)}")
    return {**body, **options}


def _info_json(info: SearchIndex) -> str:
    rest = msgspec.json.encode(
        {
            "fields": info.fields,
            "tokenize": info.tokenize,
            "tableName": info.table_name,
            "documents": info.documents,
            "entries": info.entries,
            "ready": info.ready,
        }
    ).decode()
    return f'{{"prefix":{key_to_json(info.prefix)},{rest[1:]}'
