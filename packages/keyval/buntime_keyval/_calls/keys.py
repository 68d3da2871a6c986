"""Calls of the routes below `/keys`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from buntime_keyval._calls.stored import StoredKey, merged_at, written_at
from buntime_keyval._core import Call, Item, json_body, member
from buntime_keyval._entries import (
    created_members,
    is_many,
    option_members,
    raw_key,
    raw_keys,
    raw_value,
    read_entries,
    read_entry,
    typed_members,
    value_json,
)
from buntime_keyval._results import (
    CommitResult,
    DeleteResult,
    KvEntry,
    KvMissing,
    KvPage,
    VacuumResult,
)
from buntime_keyval._selecting import Selector
from buntime_keyval._where import Where
from buntime_keyval.wire import Duration, InvalidInput, Key, format_key_path, format_key_text, untag
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys
from buntime_keyval.wire.python_options import entry_options
from buntime_keyval.wire.requirements import EntryRequirement
from buntime_keyval.wire.shapes import PLAIN, Shape

Entry = KvEntry[Any]

_MAX_PATH = 2000
"""Longer paths go into a body: many servers and proxies refuse long URLs."""

_TAKEN = {"count", "paginate", "list", "batch", "delete-batch", "set-batch", "touch", "persist"}
"""Routes beside `/keys/<path>`, whose names must not be keys of one part."""


class _Commit(msgspec.Struct):
    ok: bool
    versionstamp: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    entries: msgspec.Raw
    has_more: bool
    cursor: str | None = None


class _Results(_Commit):
    results: tuple[Any, ...] = ()


_decode_results = msgspec.json.Decoder(_Results).decode
_decode_commit = msgspec.json.Decoder(_Commit).decode
_read_deleted = msgspec.json.Decoder(DeleteResult).decode
_read_count = member("count", int)
_decode_page = msgspec.json.Decoder(_Page).decode
_read_vacuum = msgspec.json.Decoder(VacuumResult).decode


def get(raw: Any, shape: Shape = PLAIN) -> Call[Entry]:
    """Get one entry, by its path if it has one, else as a batch of one."""
    key = checked_key(raw)
    missing: Entry = KvMissing(key, None, None)
    path = _path(key)
    item = Item(key) if shape is PLAIN else None
    if path is None:
        parse_first = partial(_first_entry, key=key, shape=shape)
        body = _keys_body([key], shape)
        return Call("POST", "/keys/batch", parse_first, body, repeatable=True, item=item)
    query = query_text(shape.members())
    target = f"/keys/{path}?{query}" if query else f"/keys/{path}"
    parse = partial(_entry_of, key=key, shape=shape)
    absent = ("Key not found", missing)
    return Call("GET", target, parse, repeatable=True, absent=absent, item=item)


def has(raw: Any) -> Call[bool]:
    """Whether a key exists.

    Not a `HEAD`: its 404 has no body, so it would not tell a missing key from a wrong address.
    """
    call = get(raw, Shape(values=False))
    absent = None if call.absent is None else (call.absent[0], False)
    return Call(
        call.method,
        call.target,
        lambda content: call.parse(content).exists,
        call.body,
        repeatable=True,
        absent=absent,
    )


def get_many(raw: Any, shape: Shape = PLAIN) -> Call[list[Entry]]:
    """Entries in the order of their keys."""
    return get_checked(checked_keys(raw), shape)


def get_checked(keys: Sequence[Key], shape: Shape = PLAIN) -> Call[list[Entry]]:
    """The same for checked keys."""

    def parse(content: bytes) -> list[Entry]:
        entries = read_entries(content, shape)
        if len(entries) != len(keys):
            raise InvalidInput(f"{len(entries)} entries for {len(keys)} keys")
        for entry, key in zip(entries, keys, strict=True):
            _refuse_other(entry, key)
        return entries

    return Call("POST", "/keys/batch", parse, _keys_body(keys, shape), repeatable=True)


def set_value(
    raw: Any,
    value: Any,
    expires_in: Duration | None = None,
    expires_at: float | datetime | None = None,
    metadata: Any = None,
    type: str | None = None,
    required: EntryRequirement | None = None,
) -> Call[CommitResult]:
    """Store a value."""
    if isinstance(raw, StoredKey):
        value, expires_in, metadata = written_at(raw, value, expires_in, expires_at, metadata)
    if required is not None:
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return _written_if("PUT", raw, value, options, required)
    key = checked_key(raw)
    given = entry_options(expires_in, expires_at, metadata, type=type)
    text = value_json(value, placeholders=True)
    item = Item(key, text, typed_members(given, "type"))
    path = _path(key)
    if path is not None:
        query = _query(given)
        if len(path) + len(query) <= _MAX_PATH:
            target = f"/keys/{path}{query}"
            return Call("PUT", target, read_commit, text, item=item)
    mutation = {"type": "set", "key": raw_key(key), "value": msgspec.Raw(text)} | typed_members(
        given
    )
    return Call("POST", "/atomic", read_commit, json_body(mutations=[mutation]), item=item)


def patch_value(
    raw: Any,
    patch: Any,
    expires_in: Duration | None = None,
    expires_at: float | datetime | None = None,
    metadata: Any = None,
    type: str | None = None,
    required: EntryRequirement | None = None,
) -> Call[CommitResult]:
    """Merge a patch into a value."""
    options = entry_options(expires_in, expires_at, metadata, type=type)
    patch, on_create = merged_at(raw, "patch", patch)
    if required is not None:
        if required.is_missing:
            options = options.or_else(on_create)
        return _written_if("PATCH", raw, patch, options, required)
    key = checked_key(raw)
    text = value_json(patch, placeholders=True)
    path = _path(key)
    if path is not None and on_create is NO_OPTIONS:
        target = f"/keys/{path}{_query(options)}"
        if len(target) <= _MAX_PATH:
            return Call("PATCH", target, read_commit, text)
    mutation = {"type": "patch", "key": raw_key(key), "value": msgspec.Raw(text)}
    mutation |= typed_members(options) | created_members(on_create)
    body = json_body(mutations=[mutation])
    return Call("POST", "/atomic", read_commit, body)


def _written_if(
    method: str, raw: Any, value: Any, options: EntryOptions, required: EntryRequirement
) -> Call[CommitResult]:
    return written_json(
        method, checked_key(raw), value_json(value, placeholders=True), options, required
    )


def written_json(
    method: str, key: Key, text: bytes, options: EntryOptions, required: EntryRequirement
) -> Call[CommitResult]:
    """A write of JSON to a key, if that is so which is required of its entry."""
    return Call(method, f"/keys/{_path_for(key)}{_query(options, required)}", read_commit, text)


def _path_for(key: Key) -> str:
    """The path of a key that only its own routes can write. Raises `InvalidInput`."""
    path = format_key_path(key)
    if path is None or any(part in (".", "..") for part in key):
        raise InvalidInput(
            "The entry of this key has no path, which a condition needs: pass its versionstamp to"
            " atomic().check((key, versionstamp))"
        )
    return path


def _query(options: EntryOptions, required: EntryRequirement | None = None) -> str:
    """The options of a write as a query, with its question mark; empty without any."""
    texts = {name: bytes(text).decode() for name, text in option_members(options).items()}
    members = {} if required is None else required.members()
    query = query_text({**texts, "type": options.type, **members})
    return f"?{query}" if query else ""


def delete(
    raw: Any, *, exact: bool, where: Where | None, required: EntryRequirement | None = None
) -> Call[DeleteResult]:
    """Delete a key, or several."""
    if required is not None:
        if is_many(raw) or where is not None:
            refuse_required(required)
        members = {"exact": True if exact else None, **required.members()}
        target = f"/keys/{_path_for(checked_key(raw))}?{query_text(members)}"
        return Call("DELETE", target, _read_deleted)
    keys = checked_keys(raw) if is_many(raw) else [checked_key(raw)]
    return delete_keys(keys, exact=exact, where=where)


def delete_keys(keys: Sequence[Key], *, exact: bool, where: Where | None) -> Call[DeleteResult]:
    """Delete checked keys."""
    options = {"exact": True if exact else None, "where": raw_where(where)}
    path = _path(keys[0]) if len(keys) == 1 else None
    if path is None:
        body = json_body(keys=raw_keys(keys), **options)
        return Call("POST", "/keys/delete-batch", _read_deleted, body)
    has_options = any(option is not None for option in options.values())
    body_or_none = json_body(**options) if has_options else None
    return Call("DELETE", f"/keys/{path}", _read_deleted, body_or_none)


def refuse_everything(*, everything: bool, idempotency_key: str | None) -> None:
    """Raise `InvalidInput` unless the deletion of the whole store is wanted, and in batches."""
    if not everything:
        raise InvalidInput("Key cannot be empty; to delete the whole store, pass everything=True")
    if idempotency_key is not None:
        raise InvalidInput("An idempotency key is for one commit, and not for everything=True")


def refuse_required(required: EntryRequirement | None) -> None:
    """Raise `InvalidInput` where something is required of the whole store."""
    if required is not None:
        raise InvalidInput("if_match and if_revision are for one key, and without where")


def delete_selected(
    keys: Selector, *, limit: int | None, where: Where | None
) -> Call[DeleteResult]:
    """Delete the selected entries, or the first ones of them."""
    most = None if limit is None else checked_deletion(limit)
    body = json_body(**keys.members(), limit=most, where=raw_where(where))
    return Call("DELETE", "/keys", _read_deleted, body)


def count(keys: Selector, *, limit: int | None, where: Where | None) -> Call[int]:
    """Number of the entries that are selected."""
    text = format_key_text(keys.prefix) if keys.prefix else ""
    if where is None and limit is None and keys.is_prefix and len(text) <= _MAX_PATH:
        query = f"?{urlencode({'prefix': text})}" if text else ""
        return Call("GET", f"/keys/count{query}", _read_count, repeatable=True)
    most = None if limit is None else checked_limit(limit)
    body = json_body(**keys.members(), limit=most, where=raw_where(where))
    return Call("POST", "/keys/count", _read_count, body, repeatable=True)


def paginate(
    keys: Selector,
    *,
    cursor: str | None,
    limit: int,
    reverse: bool,
    where: Where | None,
    shape: Shape = PLAIN,
    snapshot: bool = False,
) -> Call[KvPage[Any]]:
    """Get one page."""
    limit = checked_limit(limit)
    text = format_key_text(keys.prefix) if keys.prefix else ""
    if where is None and keys.is_prefix and len(text) <= _MAX_PATH:
        query = {
            "prefix": text,
            "cursor": cursor,
            "limit": limit,
            "reverse": reverse or None,
            "snapshot": snapshot or None,
        }
        target = f"/keys/paginate?{query_text(query | shape.members())}"
        return Call("GET", target, partial(_read_page, shape=shape), repeatable=True)
    return page_of(
        keys,
        cursor=cursor,
        limit=limit,
        reverse=reverse,
        where=raw_where(where),
        shape=shape,
        snapshot=snapshot,
    )


def page_of(
    keys: Selector,
    *,
    cursor: str | None,
    limit: int,
    reverse: bool,
    where: msgspec.Raw | None,
    shape: Shape,
    snapshot: bool,
) -> Call[KvPage[Any]]:
    """Get one page of the selection; the filter is checked already."""
    body = json_body(
        **keys.members(),
        cursor=cursor,
        limit=limit,
        reverse=reverse or None,
        where=where,
        snapshot=snapshot or None,
        **shape.members(),
    )
    parse = partial(_read_page, shape=shape)
    return Call("POST", "/keys/paginate", parse, body, repeatable=True)


def list_of(
    keys: Selector, *, limit: int, reverse: bool, where: msgspec.Raw | None, shape: Shape = PLAIN
) -> Call[list[Entry]]:
    """Get the first entries of the selection; the filter is checked already."""
    body = json_body(
        **keys.members(), limit=limit, reverse=reverse or None, where=where, **shape.members()
    )
    return Call("POST", "/keys/list", partial(read_entries, shape=shape), body, repeatable=True)


def vacuum(limit: int) -> Call[VacuumResult]:
    """Remove expired entries."""
    return Call("POST", "/vacuum", _read_vacuum, json_body(limit=limit))


def read_commit(content: bytes) -> CommitResult:
    """The answer to a commit."""
    commit = _decode_commit(content)
    return CommitResult(commit.ok, commit.versionstamp)


def read_results(content: bytes) -> CommitResult:
    """The same, with the results of its mutations."""
    commit = _decode_results(content)
    made = tuple([untag(value) for value in commit.results])
    return CommitResult(commit.ok, commit.versionstamp, made)


def checked_limit(limit: object) -> int:
    """A positive integer. Raises `InvalidInput`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput(f"limit must be a positive number, received {limit!r:.50}")
    return limit


def checked_page(limit: object) -> int:
    """The most entries of one answer, no fewer than were requested. Raises `InvalidInput`."""
    if checked_limit(limit) > MAX_LIMIT:
        raise InvalidInput(f"limit must be a number from 1 to {MAX_LIMIT}, received {limit}")
    return checked_limit(limit)


def checked_deletion(limit: object) -> int:
    """The most entries that are deleted at once. Raises `InvalidInput`."""
    most = checked_limit(limit)
    if most > MAX_LIMIT:
        raise InvalidInput(f"limit must be at most {MAX_LIMIT} for a deletion, received {most}")
    return most


def raw_where(where: Where | None) -> msgspec.Raw | None:
    """A filter as part of a body. Raises `InvalidInput`."""
    if where is None:
        return None
    if not isinstance(where, dict):
        raise InvalidInput(f"where must be a dict or a condition, received {where!r:.50}")
    return raw_value(where)


def query_text(members: dict[str, Any]) -> str:
    """A query string of the members that are neither None nor empty."""
    texts = {
        name: ("true" if value is True else "false" if value is False else str(value))
        for name, value in members.items()
        if value is not None and value != ""
    }
    return urlencode(texts)


def _path(key: Key) -> str | None:
    """The path that says this key and survives clients and proxies on its way, or None."""
    path = format_key_path(key)
    if path is None or len(path) > _MAX_PATH or "%2F" in path or "%5C" in path:
        return None
    if any(part in (".", "..") for part in key) or (len(key) == 1 and key[0] in _TAKEN):
        return None
    return path


def _keys_body(keys: Sequence[Key], shape: Shape) -> bytes:
    return json_body(keys=raw_keys(keys), **shape.members())


def _first_entry(content: bytes, key: Key, shape: Shape) -> Entry:
    entries = read_entries(content, shape)
    if len(entries) != 1:
        raise InvalidInput(f"{len(entries)} entries for one key")
    return _refuse_other(entries[0], key)


def _entry_of(content: bytes, key: Key, shape: Shape) -> Entry:
    return _refuse_other(read_entry(content, shape), key)


def _refuse_other(entry: Entry, key: Key) -> Entry:
    """The answer to another request must not pass for this one's."""
    if entry.key != key:
        raise InvalidInput(f"an entry of {entry.key!r} for the key {key!r}")
    return entry


def _read_page(content: bytes, shape: Shape = PLAIN) -> KvPage[Any]:
    """A page of entries."""
    page = _decode_page(content)
    return KvPage(read_entries(bytes(page.entries), shape), page.cursor, page.has_more)
