"""Endpoints below `/keys`."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Set
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from buntime_host import Answer
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    canonical_metadata,
    canonical_value,
    encode_key,
    encode_key_path,
    encode_keys,
    parse_key_path,
)
from buntime_keyval.wire.canonical import WHOLE, canonical_steps
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, Mutation
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.writes import Committed
from buntime_plugin_keyval.faces.http.quick_keys import plain_keys
from buntime_plugin_keyval.model.conditions import Conditions, matches, parse_tags
from buntime_plugin_keyval.model.errors import KeyNotFound, PreconditionFailed
from buntime_plugin_keyval.model.where import Where, count_conditions
from buntime_plugin_keyval.requests.answers import Text, are_long, spliced, spliced_beside
from buntime_plugin_keyval.requests.asked import NO_KEYS, Asked, Cost, Keys, Request, Route
from buntime_plugin_keyval.requests.kinds import (
    BATCH_KEYS,
    CONSISTENCY,
    EXPIRES_AT,
    EXPIRES_IN,
    FILTER,
    FLAG,
    METADATA,
    REVISION,
    TYPE,
    VERSION,
)
from buntime_plugin_keyval.requests.shape import Alias, MemberPlace, RequestShape
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.dialects.reads import Short
from buntime_plugin_keyval.storage.entries import found_json, joined_json
from buntime_plugin_keyval.storage.entry_json import entry_json
from buntime_plugin_keyval.storage.ranges import subtree

T = TypeVar("T")

KEYS_PATH = b"/keys/"


class Read(RequestShape, frozen=True, kw_only=True):
    """Members of all routes that read entries."""

    values: Annotated[bool, FLAG] = True
    details: Annotated[bool, FLAG] = False
    consistency: Annotated[str | None, CONSISTENCY] = None
    """`strong` reads from the primary."""

    @property
    def is_shaped(self) -> bool:
        """Whether more or less than value and versionstamp is wanted of each entry."""
        return self.details or not self.values

    @property
    def entry_shape(self) -> Shape:
        """What is told of each entry."""
        return Shape(self.values, self.details) if self.is_shaped else PLAIN


class ValueOptions(RequestShape, frozen=True, kw_only=True):
    """Options of a value that is set."""

    expires_in: Annotated[int | None, EXPIRES_IN, Alias("expireIn")] = None
    expires_at: Annotated[int | None, EXPIRES_AT] = None
    metadata: Annotated[object, METADATA] = None
    type: Annotated[str | None, TYPE] = None


class Written(ValueOptions, frozen=True, kw_only=True):
    """Options and conditions for setting one key."""

    if_version: Annotated[str | None, VERSION] = None
    """Like `If-Match` with this versionstamp."""
    if_revision: Annotated[int | None, REVISION] = None
    """The revision that the entry must have; 0 for a key that is missing."""


class Deletion(RequestShape, frozen=True, kw_only=True):
    """How much to delete."""

    exact: Annotated[bool, FLAG] = False
    where: Annotated[Where | None, FILTER] = None


class DeletionOfKey(Deletion, frozen=True, kw_only=True):
    """Options and conditions for deleting one key."""

    if_version: Annotated[str | None, VERSION] = None
    """Like `If-Match` with this versionstamp."""
    if_revision: Annotated[int | None, REVISION] = None
    """The revision that the entry must have; 0 for a key that is missing."""


class DeletionOfKeys(Deletion, frozen=True, kw_only=True):
    """Keys to delete, with options."""

    keys: Annotated[list[Key], BATCH_KEYS]


class BatchRead(Read, frozen=True, kw_only=True):
    """Which keys to read."""

    keys: Annotated[list[Key], BATCH_KEYS]


_CONDITIONAL = (Written, DeletionOfKey)


def get_key(service: KeyValService, request: Request[Read]) -> Asked:
    """`GET /keys/<path>`: read an entry; a `HEAD` does not read its value."""
    encoded, key_json = encode_key_path(request.path[len(KEYS_PATH) :])
    reads = Keys((encoded,))
    given = request.given
    noticed = request.source.noticed
    if request.head or given.details or not given.values or noticed.precondition is not None:
        conditions = conditions_of(request)
        uncommon = partial(_get_uncommon, service, request, encoded, key_json, conditions)
        return Asked("get", "read", uncommon, reads)

    def run() -> Answer | Coroutine[Any, Any, Answer]:
        found = service.store.get_short(encoded)
        if found is None:
            raise KeyNotFound
        if isinstance(found, tuple):
            value, versionstamp = found
            if value is not None:
                return Answer(200, entry_json(key_json, value, versionstamp), tag=versionstamp)
        return _get_later(service, encoded, key_json, found)

    return Asked("get", "read", run, reads)


async def _get_later(
    service: KeyValService,
    encoded: bytes,
    key_json: str,
    found: Short | Coroutine[Any, Any, Short],
) -> Answer:
    """The answer for an entry that was not found at once, or is long."""
    if isinstance(found, Coroutine):
        found = await found
    if found is None:
        raise KeyNotFound
    value, versionstamp = found
    if value is not None:
        return Answer(200, entry_json(key_json, value, versionstamp), tag=versionstamp)
    entry = await service.store.get_long(encoded)
    if entry is None:
        raise KeyNotFound
    return Answer(200, entry, tag=_stamp_in(entry))


def _stamp_in(entry: Text) -> str:
    """The versionstamp of an entry without details, whose JSON ends with it."""
    end = entry[-_STAMP_END:]
    text = end.decode() if isinstance(end, bytes) else end
    return text.rpartition(':"')[2].removesuffix('"}')


_STAMP_END = 200


async def _get_uncommon(
    service: KeyValService,
    request: Request[Read],
    encoded: bytes,
    key_json: str,
    conditions: Conditions | None,
) -> Answer:
    """The answer in another shape, without a body, or under conditions."""
    store = service.store
    shape = request.given.entry_shape
    if request.head and not request.given.is_shaped:
        sized = await store.head(encoded)
        if sized is None:
            raise _missing(conditions)
        size, stamp = sized
        if (refused := _refused(conditions, stamp)) is not None:
            return refused
        return Answer(200, "", length=size + len(entry_json(key_json, "", "").encode()), tag=stamp)
    is_wanted = None if conditions is None else partial(_is_wanted, conditions)
    found = await store.get_if(encoded, shape, is_wanted)
    if found is None:
        raise _missing(conditions)
    stamp, entry = found
    if (refused := _refused(conditions, stamp)) is not None:
        return refused
    if entry is None:
        raise KeyNotFound  # it was deleted between two reads
    return Answer(200, entry, tag=stamp)


def _is_wanted(conditions: Conditions, stamp: str) -> bool:
    """Whether an entry with this versionstamp is to be returned."""
    match, none_match = conditions.match, conditions.none_match
    return (match is None or matches(match, stamp)) and not (
        none_match is not None and matches(none_match, stamp)
    )


def _refused(conditions: Conditions | None, stamp: str) -> Answer | None:
    """The answer in place of an entry with this versionstamp, or None to return the entry.

    Raises `PreconditionFailed`.
    """
    if conditions is None or _is_wanted(conditions, stamp):
        return None
    if conditions.match is not None and not matches(conditions.match, stamp):
        raise PreconditionFailed(stamp)
    return Answer(304, "", tag=stamp)


def _missing(conditions: Conditions | None) -> Exception:
    """The error for a key that does not exist."""
    if conditions is not None and conditions.match is not None:
        return PreconditionFailed(None)
    return KeyNotFound()


def conditions_of(request: Request[Any]) -> Conditions | None:
    """The conditions on the entry, from headers and parameters; None if there are none.

    Raises `InvalidInput`.
    """
    given = request.given
    version = revision = None
    if isinstance(given, _CONDITIONAL):
        version, revision = given.if_version, given.if_revision
    precondition = request.source.noticed.precondition
    if precondition is None and version is None and revision is None:
        return None
    match = none_match = None
    if precondition is not None:
        match = parse_tags("If-Match", request.headers(b"if-match"))
        none_match = parse_tags("If-None-Match", request.headers(b"if-none-match"))
    if version is not None:
        if match is not None:
            raise InvalidInput("The versionstamp is given twice: as If-Match and as ifVersion")
        match = frozenset((version,))
    return Conditions(match, none_match, revision)


def put_key(service: KeyValService, request: Request[Written]) -> Asked:
    """`PUT /keys/<path>`: set a key; the body is the value."""
    encoded, key_json = encode_key_path(request.path[len(KEYS_PATH) :])
    now_ms = service.store.clock.wall()
    content = request.content
    options = entry_options(request.given, now_ms)
    writes = Keys((encoded,))
    conditions = conditions_of(request)
    if conditions is not None:
        place = ConditionalWrite(_path_key(request.path), encoded, options, conditions)
        return _written_if(service, request, "set", place, now_ms)
    if len(content) > WHOLE:
        large = partial(_put_large, service, request, encoded, key_json, options, now_ms)
        return Asked("set", "write", large, writes=writes)
    value = canonical_value(content, now_ms)
    run = partial(service.store.set, encoded, key_json, value, options, request.once)
    return Asked("set", "write", run, writes=writes, answer=_answer_set)


async def _put_large(
    service: KeyValService,
    request: Request[Written],
    encoded: bytes,
    key_json: str,
    options: EntryOptions,
    now_ms: int,
) -> str:
    store = service.store
    value = await store.turns.run(canonical_steps(request.content, now_ms))
    written = store.set(encoded, key_json, value, options, request.once)
    return commit_json(await written)


def _answer_set(written: Future[str]) -> Answer:
    return Answer(200, f'{{"ok":true,"versionstamp":"{written.result()}"}}')


def patch_key(service: KeyValService, request: Request[Written]) -> Asked:
    """`PATCH /keys/<path>`: change a value; the body is a JSON Merge Patch of it."""
    key = _path_key(request.path)
    now_ms = service.store.clock.wall()
    options = entry_options(request.given, now_ms)
    place = ConditionalWrite(key, encode_key(key), options, conditions_of(request))
    return _written_if(service, request, "patch", place, now_ms)


class ConditionalWrite(NamedTuple):
    """The key of a value, and the conditions on its entry."""

    key: Key
    encoded: bytes
    options: EntryOptions
    conditions: Conditions | None


def _written_if(
    service: KeyValService,
    request: Request[Written],
    kind: Literal["set", "patch"],
    place: ConditionalWrite,
    now_ms: int,
) -> Asked:
    """A write that depends on the present entry, as a commit of its own."""
    store = service.store
    content = request.content
    key, encoded, options, conditions = place
    writes = Keys((encoded,))
    # Whether conditions hold reveals something of the entry.
    reads = NO_KEYS if conditions is None else writes
    required = () if conditions is None else ((encoded, conditions),)
    extends: Callable[[], Set[bytes]]
    extends = partial(frozenset, (encoded,)) if kind == "patch" else frozenset

    def commit(text: str) -> Future[Committed | None]:
        mutation = Mutation(kind, key, text, options, encoded)
        return store.commit((), [mutation], once=request.once, required=required)

    if len(content) > WHOLE:

        async def large() -> str:
            text = await store.turns.run(canonical_steps(content, now_ms))
            return _committed_json(await commit(text))

        return Asked(kind, "write", large, reads, writes, extends=extends)
    run = partial(commit, canonical_value(content, now_ms))
    return Asked(kind, "write", run, reads, writes, extends=extends, answer=_answer_committed)


def _answer_committed(written: Future[Committed | None]) -> Answer:
    return Answer(200, _committed_json(written.result()))


def _committed_json(committed: Committed | None) -> str:
    return commit_json(None if committed is None else committed.versionstamp)


def delete_key(service: KeyValService, request: Request[DeletionOfKey]) -> Asked:
    """`DELETE /keys/<path>`: delete a key and all keys below it; with `exact` only the key."""
    encoded, _ = encode_key_path(request.path[len(KEYS_PATH) :])
    conditions = conditions_of(request)
    if conditions is None:
        return deletion(service, [encoded], request.given, request.once)
    given, store = request.given, service.store
    if given.where is not None:
        raise InvalidInput("where is for entries whatever their versions: it takes no conditions")
    exact, once = given.exact, request.once
    touched = Keys((encoded,))
    writes = touched if exact else Keys(ranges=(subtree(encoded),))
    run = partial(store.delete_if, encoded, conditions, exact=exact, once=once)
    cost = Cost(1 if exact else None)
    return Asked("delete", "write", run, touched, writes, cost, answer=_answer_deleted)


def delete_batch(service: KeyValService, request: Request[DeletionOfKeys]) -> Asked:
    """`POST /keys/delete-batch`: delete several keys and all keys below them."""
    return deletion(service, encode_keys(request.given.keys), request.given, request.once)


def deletion(
    service: KeyValService, keys: list[bytes], given: Deletion, once: Once | None
) -> Asked:
    """Delete keys, and all keys below them unless they are meant exactly."""

    def run() -> Future[int] | Coroutine[Any, Any, str]:
        deleting = service.store.delete(keys, exact=given.exact, where=given.where, once=once)
        return deleting if isinstance(deleting, Future) else deleted(deleting)

    if given.exact:
        entries, writes = len(keys), Keys(keys)
    else:
        entries, writes = None, Keys(ranges=[subtree(key) for key in keys])
    cost = Cost(entries, count_conditions(given.where))
    # What a filter deletes and what it leaves reveals something of the values.
    reads = NO_KEYS if given.where is None else writes
    return Asked("delete", "write", run, reads, writes, cost, needs=(), answer=_answer_deleted)


def _answer_deleted(deleting: Future[int]) -> Answer:
    return Answer(200, deleted_json(deleting.result()))


async def deleted(deleting: Awaitable[int]) -> str:
    return deleted_json(await deleting)


def get_batch(service: KeyValService, request: Request[BatchRead]) -> Asked:
    """`POST /keys/batch`: read entries in the order of the request; missing ones are null."""
    keys = request.given.keys
    shape = request.given.entry_shape
    encoded = encode_keys(keys)

    async def later(finding: Awaitable[Mapping[bytes, Text]]) -> Text:
        entries = found_json(keys, encoded, await finding, shape)
        return await spliced_beside("[", entries, "]")

    def run() -> Text | Coroutine[Any, Any, Text]:
        found = service.store.get_joined_soon(encoded, shape)
        if not isinstance(found, str):
            return later(found)
        entries = (joined_json(found, keys, shape),)
        if are_long(entries):  # each is short, but there are many
            return spliced_beside("[", entries, "]")
        return spliced("[", entries, "]")

    return Asked("get", "read", run, reads=Keys(encoded), cost=Cost(len(encoded)), needs=())


def _plain_batch(content: bytes) -> BatchRead | None:
    """See `Route.quick`."""
    keys = plain_keys(content)
    return None if keys is None else BatchRead(keys=keys)


GET = Route(get_key, Read, has_conditions=True)
PUT = Route(put_key, Written, MemberPlace.BESIDE_VALUE, has_conditions=True)
PATCH = Route(patch_key, Written, MemberPlace.BESIDE_VALUE, has_conditions=True)
DELETE = Route(delete_key, DeletionOfKey, MemberPlace.EITHER, has_conditions=True)
DELETE_BATCH = Route(delete_batch, DeletionOfKeys, MemberPlace.BODY)
BATCH = Route(get_batch, BatchRead, MemberPlace.BODY, quick=_plain_batch)


def _path_key(path: bytes) -> Key:
    """The key in the path after the first `/keys/`."""
    return parse_key_path(path[len(KEYS_PATH) :].decode("latin-1"))


def entry_options(given: ValueOptions, now_ms: int) -> EntryOptions:
    """Options of a value for the store; `now_ms` is the time of `$now`."""
    is_bare = given.expires_in is None and given.expires_at is None and given.type is None
    if is_bare and given.metadata is None:
        return NO_OPTIONS
    metadata = canonical_metadata(given.metadata, now_ms)
    return EntryOptions(given.expires_in, given.expires_at, metadata, given.type)


def commit_json(versionstamp: str | None) -> str:
    """The answer to a commit; None means that a check did not hold."""
    if versionstamp is None:
        return '{"ok":false}'
    return f'{{"ok":true,"versionstamp":"{versionstamp}"}}'


def deleted_json(count: int) -> str:
    """The answer to a deletion."""
    return f'{{"deletedCount":{count}}}'
