"""Endpoints below `/keys`. Each returns the JSON text of its answer."""

from __future__ import annotations

from buntime_keyval.wire import (
    InvalidInput,
    Key,
    canonical_value,
    check_keys,
    encode_key,
    key_to_json,
    parse_key_path,
)

from buntime_plugin_keyval.entries import shaped_json
from buntime_plugin_keyval.errors import KeyNotFound
from buntime_plugin_keyval.http import inputs
from buntime_plugin_keyval.http.answers import Answer
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.http.shapes import body_shape, query_options, query_shape
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.entry_json import entry_json
from buntime_plugin_keyval.storage.reads import EntryPage
from buntime_plugin_keyval.storage.selection import PLAIN
from buntime_plugin_keyval.store import make_cursor
from buntime_plugin_keyval.sweeper import vacuum
from buntime_plugin_keyval.where import Where

KEYS_PATH = b"/keys/"


async def get_key(service: KeyValService, request: Request) -> str | Answer:
    """`GET /keys/<path>`; for a `HEAD` the value is not read."""
    key = _path_key(request)
    encoded = encode_key(key)
    shape = query_shape(request)
    if shape != PLAIN:
        entries = await service.store.get_many_json([encoded], shape)
        if not entries:
            raise KeyNotFound
        return entries[encoded]
    if request.scope["method"] == "HEAD":
        size = await service.store.size(encoded)
        if size is None:
            raise KeyNotFound
        return Answer(200, "", length=size + len(entry_json(key_to_json(key), "", "").encode()))
    found = await service.store.get(encoded)
    if found is None:
        raise KeyNotFound
    return entry_json(key_to_json(key), *found)


async def put_key(service: KeyValService, request: Request) -> str:
    """`PUT /keys/<path>`: the body is the value."""
    key = _path_key(request)
    options = query_options(request, service.store.clock)
    value = canonical_value(await request.body(), service.store.clock())
    versionstamp = await service.store.set(encode_key(key), key_to_json(key), value, options)
    return commit_json(versionstamp)


async def delete_key(service: KeyValService, request: Request) -> str:
    """`DELETE /keys/<path>`: the key and all that extend it, unless the body says otherwise."""
    key = _path_key(request)
    exact, where = await _delete_options(request)
    return deleted_json(await service.store.delete([encode_key(key)], exact=exact, where=where))


async def delete_prefix(service: KeyValService, request: Request) -> str:
    """`DELETE /keys?prefix=`: as `DELETE /keys/<path>`; never the whole store by accident."""
    prefix = inputs.parse_prefix(request.query("prefix"))
    if not prefix:
        raise InvalidInput("Missing 'prefix' query parameter: name what to delete")
    exact, where = await _delete_options(request)
    return deleted_json(await service.store.delete([prefix], exact=exact, where=where))


async def list_keys(service: KeyValService, request: Request) -> str:
    """`GET /keys`"""
    entries = await service.store.list_json(
        inputs.parse_selection(_query_selection(request)),
        limit=inputs.parse_limit(request.query("limit")),
        reverse=request.query("reverse") == "true",
        shape=query_shape(request),
    )
    return f"[{entries}]"


async def list_keys_by_body(service: KeyValService, request: Request) -> str:
    """`POST /keys/list`"""
    body = await request.json_object()
    entries = await service.store.list_json(
        inputs.parse_selection(body),
        limit=inputs.parse_limit(body.get("limit")),
        reverse=inputs.parse_flag("reverse", body.get("reverse")),
        where=inputs.parse_filter(body.get("where")),
        shape=body_shape(body),
    )
    return f"[{entries}]"


async def count_keys(service: KeyValService, request: Request) -> str:
    """`GET /keys/count`"""
    keys = inputs.parse_selection({"prefix": request.query("prefix")})
    return count_json(await service.store.count(keys))


async def count_keys_by_body(service: KeyValService, request: Request) -> str:
    """`POST /keys/count`"""
    body = await request.json_object()
    keys = inputs.parse_selection({"prefix": body.get("prefix")})
    return count_json(await service.store.count(keys, where=inputs.parse_filter(body.get("where"))))


async def paginate_keys(service: KeyValService, request: Request) -> str:
    """`GET /keys/paginate`"""
    page = await service.store.page_json(
        inputs.parse_selection({"prefix": request.query("prefix")}),
        limit=inputs.parse_limit(request.query("limit")),
        cursor=request.query("cursor"),
        reverse=request.query("reverse") == "true",
        shape=query_shape(request),
    )
    return page_json(page)


async def paginate_keys_by_body(service: KeyValService, request: Request) -> str:
    """`POST /keys/paginate`"""
    body = await request.json_object()
    page = await service.store.page_json(
        inputs.parse_selection({"prefix": body.get("prefix")}),
        limit=inputs.parse_limit(body.get("limit")),
        cursor=inputs.parse_text("cursor", body.get("cursor")),
        reverse=inputs.parse_flag("reverse", body.get("reverse")),
        where=inputs.parse_filter(body.get("where")),
        shape=body_shape(body),
    )
    return page_json(page)


async def get_batch(service: KeyValService, request: Request) -> str:
    """`POST /keys/batch`: entries in the order of the request, missing ones null."""
    body = await request.json_object()
    keys = check_keys(body.get("keys"))
    shape = body_shape(body)
    encoded = [encode_key(key) for key in keys]
    found = await service.store.get_many_json(encoded, shape)
    return f"[{','.join(shaped_json(keys, encoded, found, shape))}]"


async def delete_batch(service: KeyValService, request: Request) -> str:
    """`POST /keys/delete-batch`"""
    body = await request.json_object()
    keys = [encode_key(key) for key in check_keys(body.get("keys"))]
    exact = inputs.parse_flag("exact", body.get("exact"))
    where = inputs.parse_filter(body.get("where"))
    return deleted_json(await service.store.delete(keys, exact=exact, where=where))


async def vacuum_expired(service: KeyValService, request: Request) -> str:
    """`POST /vacuum`: remove what has expired, at most `limit` entries of the body."""
    content = await request.body()
    body = inputs.parse_object(content) if content else {}
    count, has_more = await vacuum(service.store, inputs.parse_limit(body.get("limit")))
    return f'{{"count":{count},"hasMore":{"true" if has_more else "false"}}}'


def _path_key(request: Request) -> Key:
    """The key of the path behind the first `/keys/`."""
    return parse_key_path(request.path[len(KEYS_PATH) :].decode("latin-1"))


def _query_selection(request: Request) -> dict[str, str | None]:
    return {name: request.query(name) for name in ("prefix", "start", "end")}


async def _delete_options(request: Request) -> tuple[bool, Where | None]:
    """`exact` and `where` of a body, which is looked at only if it says that it is JSON."""
    if b"application/json" not in request.header(b"content-type").lower():
        return False, None
    content = await request.body()
    options = inputs.parse_object(content) if content else {}
    return (
        inputs.parse_flag("exact", options.get("exact")),
        inputs.parse_filter(options.get("where")),
    )


def commit_json(versionstamp: str | None) -> str:
    """The answer to a commit; None where a check did not hold."""
    if versionstamp is None:
        return '{"ok":false}'
    return f'{{"ok":true,"versionstamp":"{versionstamp}"}}'


def count_json(count: int) -> str:
    """The answer to a count."""
    return f'{{"count":{count}}}'


def deleted_json(count: int) -> str:
    """The answer to a deletion."""
    return f'{{"deletedCount":{count}}}'


def page_json(page: EntryPage) -> str:
    """The answer to a request for a page."""
    cursor = f'"{make_cursor(page.last)}"' if page.has_more and page.last else "null"
    more = "true" if page.has_more else "false"
    return f'{{"entries":[{page.entries}],"cursor":{cursor},"hasMore":{more}}}'
