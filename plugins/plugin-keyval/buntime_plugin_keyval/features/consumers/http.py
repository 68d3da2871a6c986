"""Endpoints below `/consumers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from buntime_host import Answer
from buntime_keyval import ConsumerInfo
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.features.consumers.consumers import Holder, WantedBatch
from buntime_plugin_keyval.features.consumers.part import ConsumerPart
from buntime_plugin_keyval.features.stream.http import STREAM_WAIT, record_json, trimmed_answer
from buntime_plugin_keyval.features.stream.part import ALL_KEYS, Wish
from buntime_plugin_keyval.model.errors import ConsumerLocked, StreamTrimmed
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import Text, flag_json, spliced_beside, truth
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Need, Request, Route, Routes
from buntime_plugin_keyval.requests.permissions import CONSUME
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.storage.consumers import RecordLetter
from buntime_plugin_keyval.storage.ranges import subtree

DEFAULT_DURATION_MS = 30_000
DEFAULT_ATTEMPTS = 5


class ChosenRecords(RequestShape, frozen=True, kw_only=True):
    """Which records a consumer is for, and how many of them."""

    limit: Annotated[int, kinds.PAGE] = DEFAULT_LIMIT
    prefix: Annotated[bytes, kinds.PREFIX] = b""
    type: Annotated[str | None, kinds.TEXT] = None
    after: Annotated[int, kinds.OFFSET] = 0
    """Leaves out records up to this one, even if they are not committed."""


class Fetching(ChosenRecords, frozen=True, kw_only=True):
    """Which records an instance wants to process, and for how long it holds the consumer."""

    owner: Annotated[str, kinds.NAME]
    lock_duration: Annotated[int, kinds.LEASE_DURATION] = DEFAULT_DURATION_MS
    wait: Annotated[int, STREAM_WAIT] = 0


class ConsumerHold(RequestShape, frozen=True, kw_only=True):
    """The owner that holds a consumer, and its token."""

    token: Annotated[str, kinds.TEXT]
    owner: Annotated[str | None, kinds.NAME] = None


class PositionCommit(ConsumerHold, frozen=True, kw_only=True):
    """The record up to which the holder has processed all."""

    up_to: Annotated[int, kinds.OFFSET]


class FailedRecord(ConsumerHold, frozen=True, kw_only=True):
    """The record that the holder could not process."""

    seq: Annotated[int, kinds.OFFSET]
    error: Annotated[str | None, kinds.ERROR] = None
    max_attempts: Annotated[int, kinds.UP_TO] = DEFAULT_ATTEMPTS


class ConsumerRelease(RequestShape, frozen=True, kw_only=True):
    """The owner that releases the consumer."""

    owner: Annotated[str, kinds.NAME]
    token: Annotated[str | None, kinds.TEXT] = None


class Placing(RequestShape, frozen=True, kw_only=True):
    """The record after which a consumer is to go on."""

    seq: Annotated[int, kinds.OFFSET]


class ConsumerListing(RequestShape, frozen=True, kw_only=True):
    prefix: Annotated[str, kinds.TEXT] = ""
    limit: Annotated[int, kinds.PAGE] = DEFAULT_LIMIT


class RejectListing(RequestShape, frozen=True, kw_only=True):
    after: Annotated[int, kinds.OFFSET] = 0
    limit: Annotated[int, kinds.PAGE] = DEFAULT_LIMIT


class RejectChoice(RequestShape, frozen=True, kw_only=True):
    """The dead letter in question; all of them if none is named."""

    seq: Annotated[int | None, kinds.OFFSET] = None


def fetch(part: ConsumerPart, request: Request[Fetching]) -> Asked:
    """`POST /consumers/{name}/fetch`: hold the consumer, and get its next records."""
    name, given = _name(request), request.given
    wish = _wish(given)
    wanted = WantedBatch(name, given.owner, given.lock_duration, wish, given.wait)

    async def run() -> Text | Answer:
        try:
            batch = await part.consumers.fetch(wanted, request.source.hung_up)
        except ConsumerLocked as error:
            return Answer(error.STATUS, _locked_json(error))
        except StreamTrimmed as error:
            return trimmed_answer(error)
        if batch.is_new:
            request.source.unwanted = partial(part.consumers.let_go, wanted, batch.token)
        tail = f'],"token":"{batch.token}","position":{batch.position},"lag":{batch.lag}}}'
        return await spliced_beside('{"records":[', [*map(record_json, batch.records)], tail)

    return Asked(
        "consumer_fetch",
        "write",
        run,
        reads=Keys(ranges=[wish.keys]),
        cost=Cost(given.limit),
        needs=_needs(name),
    )


def commit(part: ConsumerPart, request: Request[PositionCommit]) -> Asked:
    """`POST /consumers/{name}/commit`: mark all records up to one as processed."""
    holder, up_to = _holder(request), request.given.up_to

    async def run() -> str:
        return f'{{"position":{await part.consumers.commit(holder, up_to, request.once)}}}'

    return Asked("consumer_commit", "write", run, needs=_needs(holder.name))


def nack(part: ConsumerPart, request: Request[FailedRecord]) -> Asked:
    """`POST /consumers/{name}/nack`: report a record that could not be processed."""
    holder, given = _holder(request), request.given

    async def run() -> str:
        failure = await part.consumers.nack(
            holder, given.seq, given.error, given.max_attempts, request.once
        )
        return (
            f'{{"attempts":{failure.attempts},"dead":{truth(failure.dead)},'
            f'"position":{failure.position}}}'
        )

    return Asked("consumer_nack", "write", run, needs=_needs(holder.name))


def release(part: ConsumerPart, request: Request[ConsumerRelease]) -> Asked:
    """`POST /consumers/{name}/release`: release the consumer for other owners."""
    name, given = _name(request), request.given

    async def run() -> str:
        released = await part.consumers.release(name, given.owner, given.token, request.once)
        return flag_json("released", released)

    return Asked("consumer_release", "write", run, needs=_needs(name))


def peek(part: ConsumerPart, request: Request[ChosenRecords]) -> Asked:
    """`GET /consumers/{name}/peek`: look at the next records without processing them."""
    name, wish = _name(request), _wish(request.given)

    async def run() -> Text | Answer:
        try:
            page = await part.consumers.peek(name, wish)
        except StreamTrimmed as error:
            return trimmed_answer(error)
        return await spliced_beside('{"records":[', [*map(record_json, page.records)], "]}")

    return Asked(
        "consumer_peek",
        "read",
        run,
        reads=Keys(ranges=[wish.keys]),
        cost=Cost(request.given.limit),
        needs=_needs(name),
    )


def get(part: ConsumerPart, request: Request[RequestShape]) -> Asked:
    """`GET /consumers/{name}`: show a consumer and its position."""
    name = _name(request)

    async def run() -> str:
        return _json(_members(await part.consumers.get(name)))

    return Asked("consumer_get", "read", run, needs=_needs(name))


def list_consumers(part: ConsumerPart, request: Request[ConsumerListing]) -> Asked:
    """`GET /consumers`: list consumers, by a prefix of their names."""
    given = request.given

    async def run() -> str:
        found = await part.consumers.list(given.prefix, given.limit)
        return _json({"consumers": [_members(state) for state in found]})

    return Asked(
        "consumer_list", "read", run, cost=Cost(given.limit), needs=_needs(given.prefix or None)
    )


def place(part: ConsumerPart, request: Request[Placing]) -> Asked:
    """`PUT /consumers/{name}/position`: have the consumer go on after another record."""
    name, seq = _name(request), request.given.seq

    async def run() -> str | Answer:
        try:
            return _json(_members(await part.consumers.move(name, seq, request.once)))
        except StreamTrimmed as error:
            return trimmed_answer(error)

    return Asked("consumer_move", "write", run, needs=_needs(name))


def delete(part: ConsumerPart, request: Request[RequestShape]) -> Asked:
    """`DELETE /consumers/{name}`: remove a consumer and its dead letters."""
    name = _name(request)

    async def run() -> str:
        deleted = await part.consumers.delete(name, request.once)
        return flag_json("deleted", deleted)

    return Asked("consumer_delete", "write", run, needs=_needs(name))


def letters(part: ConsumerPart, request: Request[RejectListing]) -> Asked:
    """`GET /consumers/{name}/dead`: list the consumer's dead letters."""
    name, given = _name(request), request.given

    async def run() -> Text:
        found = await part.consumers.letters(name, given.after, given.limit)
        told = [_letter_json(part, letter) for letter in found]
        return await spliced_beside('{"letters":[', told, "]}")

    return Asked(
        "consumer_dead",
        "read",
        run,
        reads=Keys(ranges=[ALL_KEYS]),
        cost=Cost(given.limit),
        needs=_needs(name),
    )


def requeue(part: ConsumerPart, request: Request[RejectChoice]) -> Asked:
    """`POST /consumers/{name}/dead`: deliver a dead letter once more, or all of them."""
    name, seq = _name(request), request.given.seq

    async def run() -> str:
        return f'{{"requeued":{await part.consumers.requeue(name, seq, request.once)}}}'

    return Asked("consumer_requeue", "write", run, cost=Cost(None), needs=_needs(name))


def remove(part: ConsumerPart, request: Request[RejectChoice]) -> Asked:
    """`DELETE /consumers/{name}/dead`: remove a dead letter, or all of them."""
    name, seq = _name(request), request.given.seq

    async def run() -> str:
        return f'{{"deleted":{await part.consumers.remove_letters(name, seq, request.once)}}}'

    return Asked("consumer_remove_dead", "write", run, cost=Cost(None), needs=_needs(name))


ROUTES: Routes = {
    "/consumers": {"GET": Route(list_consumers, ConsumerListing)},
    "/consumers/{id}": {"GET": Route(get, RequestShape), "DELETE": Route(delete, RequestShape)},
    "/consumers/{id}/fetch": {"POST": Route(fetch, Fetching, MemberPlace.BODY)},
    "/consumers/{id}/commit": {"POST": Route(commit, PositionCommit, MemberPlace.BODY)},
    "/consumers/{id}/nack": {"POST": Route(nack, FailedRecord, MemberPlace.BODY)},
    "/consumers/{id}/release": {"POST": Route(release, ConsumerRelease, MemberPlace.BODY)},
    "/consumers/{id}/peek": {"GET": Route(peek, ChosenRecords)},
    "/consumers/{id}/position": {"PUT": Route(place, Placing, MemberPlace.BODY)},
    "/consumers/{id}/dead": {
        "GET": Route(letters, RejectListing),
        "POST": Route(requeue, RejectChoice, MemberPlace.OPTIONAL_BODY),
        "DELETE": Route(remove, RejectChoice),
    },
}


def _needs(name: str | None) -> Sequence[Need]:
    return [(CONSUME, name)]


def _name(request: Request[Any]) -> str:
    return request.name("the name of a consumer")


def _holder(request: Request[Any]) -> Holder:
    given: ConsumerHold = request.given
    return Holder(_name(request), given.token, given.owner)


def _wish(given: ChosenRecords) -> Wish:
    keys = subtree(given.prefix) if given.prefix else ALL_KEYS
    return Wish(given.after, given.limit, keys, given.type)


def _json(members: dict[str, Any]) -> str:
    return msgspec.json.encode(members).decode()


def _locked_json(error: ConsumerLocked) -> str:
    return _json(
        {"error": error.message, "code": error.CODE, "owner": error.owner, "until": error.until}
    )


def _members(state: ConsumerInfo) -> dict[str, Any]:
    return {
        "name": state.name,
        "position": state.position,
        "lag": state.lag,
        "owner": state.owner,
        "until": state.until,
        "updatedAt": state.updated_at,
        "failing": state.failing,
    }


def _letter_json(part: ConsumerPart, letter: RecordLetter) -> str:
    error = msgspec.json.encode(letter.error).decode()
    return (
        f'{{"record":{record_json(letter.record)},"error":{error},"attempts":{letter.attempts},'
        f'"failedAt":{part.consumers.wall(letter.failed_at)},'
        f'"requeued":{truth(letter.is_requeued)}}}'
    )
