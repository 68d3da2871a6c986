"""Endpoints that commit checks and mutations together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buntime_keyval.wire import Key, check_keys, encode_key

from buntime_plugin_keyval.entries import entries_json
from buntime_plugin_keyval.http.keys import commit_json
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.mutations import parse_checks, parse_mutations
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.reads import Row


async def commit_atomic(service: KeyValService, request: Request) -> str:
    """`POST /atomic`"""
    body = await request.json_object()
    checks = parse_checks(body.get("checks"))
    mutations = parse_mutations(body.get("mutations"), service.store.clock())
    committed = await service.store.commit(checks, mutations)
    return commit_json(None if committed is None else committed.versionstamp)


async def commit_transaction(service: KeyValService, request: Request) -> str:
    """`POST /transaction`: reads from one snapshot, a guarded commit, or both at once.

    With reads, the entries are those from before the mutations. Reads alone answer with a null
    versionstamp, since nothing was committed.
    """
    body = await request.json_object()
    reads = [] if body.get("reads") in (None, []) else check_keys(body["reads"])
    checks = parse_checks(body.get("checks"))
    mutations = parse_mutations(body.get("mutations"), service.store.clock())
    encoded = [encode_key(key) for key in reads]
    if not checks and not mutations:
        return _committed_json("null", reads, encoded, await service.store.get_many(encoded))
    committed = await service.store.commit(checks, mutations, also_read=encoded)
    if committed is None:
        return '{"ok":false,"error":"conflict"}'
    return _committed_json(f'"{committed.versionstamp}"', reads, encoded, committed.rows)


def _committed_json(
    versionstamp: str, keys: Sequence[Key], encoded: Sequence[bytes], rows: Mapping[bytes, Row]
) -> str:
    if not keys:
        return f'{{"ok":true,"versionstamp":{versionstamp}}}'
    entries = ",".join(entries_json(keys, encoded, rows))
    return f'{{"ok":true,"versionstamp":{versionstamp},"entries":[{entries}]}}'
