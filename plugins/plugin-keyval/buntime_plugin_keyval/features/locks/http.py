"""Endpoints below `/locks`."""

from __future__ import annotations

from asyncio import Future
from functools import partial
from typing import Annotated, Any

import msgspec
from buntime_host import Answer
from buntime_keyval.wire import InvalidInput, canonical_metadata
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MOST_LOCK_WAIT_MS

from buntime_plugin_keyval.features.locks.locks import Granted, LockState, WantedLock
from buntime_plugin_keyval.features.locks.part import LockPart
from buntime_plugin_keyval.model.errors import LockHeld, LockNotFound
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import flag_json
from buntime_plugin_keyval.requests.asked import Asked, Cost, Need, Request, Route, Routes
from buntime_plugin_keyval.requests.permissions import ADMIN, LOCK
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape

DEFAULT_DURATION_MS = 30_000
LOCK_WAIT = kinds.pause_up_to(MOST_LOCK_WAIT_MS)


class Taking(RequestShape, frozen=True, kw_only=True):
    """The owner that wants a lock, and for how long."""

    owner: Annotated[str, kinds.NAME]
    duration: Annotated[int, kinds.LEASE_DURATION] = DEFAULT_DURATION_MS
    metadata: Annotated[object, kinds.METADATA] = None


class Acquiring(Taking, frozen=True, kw_only=True):
    """A request to take a lock, which may wait for it, or to prolong one that the owner has."""

    wait: Annotated[int, LOCK_WAIT] = 0
    keep_place: Annotated[bool, kinds.FLAG] = False
    """Whether the place in the line lasts for a while when the wait is over."""
    token: Annotated[str | None, kinds.TEXT] = None
    """The token of the lock to prolong; None takes one."""


class Releasing(RequestShape, frozen=True, kw_only=True):
    """The owner that gives a lock back."""

    owner: Annotated[str, kinds.NAME]
    token: Annotated[str | None, kinds.TEXT] = None


class LockListing(RequestShape, frozen=True, kw_only=True):
    prefix: Annotated[str, kinds.TEXT] = ""
    limit: Annotated[int, kinds.PAGE] = DEFAULT_LIMIT


def acquire(part: LockPart, request: Request[Acquiring]) -> Asked:
    """`POST /locks/{name}/acquire`: take a lock, or prolong it."""
    given = request.given
    wanted = _wanted(part, request)
    token = given.token
    if token is not None and (given.wait or given.metadata is not None):
        raise InvalidInput("wait and metadata are for taking a lock: leave them out with token")
    needs = _needs(LOCK, wanted.name)
    if token is None and not given.wait and request.once is None:
        # The usual request, and usually the lock is free: no task is needed.
        def take() -> Future[Granted]:
            taken = part.locks.take(wanted)
            request.source.unwanted = partial(part.locks.give_back_of, wanted, taken)
            return taken

        return Asked("lock_acquire", "write", take, needs=needs, answer=_answer_taken)

    async def run() -> str | Answer:
        try:
            if token is not None:
                lock = await part.locks.renew(wanted, token, request.once)
            else:
                lock = await part.locks.acquire(
                    wanted,
                    given.wait,
                    keeps_place=given.keep_place,
                    once=request.once,
                    gone=request.source.hung_up,
                )
        except LockHeld as error:
            return Answer(error.STATUS, _held_json(error))
        _note_unwanted(part, request, wanted, lock)
        return _acquired_json(lock)

    return Asked("lock_acquire", "write", run, needs=needs)


def steal(part: LockPart, request: Request[Taking]) -> Asked:
    """`POST /locks/{name}/steal`: take a lock, whether another owner has it or not."""
    wanted = _wanted(part, request)

    async def run() -> str:
        lock = await part.locks.steal(wanted, request.once)
        _note_unwanted(part, request, wanted, lock)
        return _acquired_json(lock)

    return Asked("lock_steal", "write", run, needs=[(ADMIN, None)])


def release(part: LockPart, request: Request[Releasing]) -> Asked:
    """`POST /locks/{name}/release`: give a lock back."""
    name, given = _name(request), request.given
    run = partial(part.locks.release, name, given.owner, given.token, request.once)
    return Asked("lock_release", "write", run, needs=_needs(LOCK, name), answer=_answer_released)


def get(part: LockPart, request: Request[RequestShape]) -> Asked:
    """`GET /locks/{name}`: show a lock that is held."""
    name = _name(request)

    async def run() -> str:
        lock = await part.locks.get(name)
        if lock is None:
            raise LockNotFound(name)
        return msgspec.json.encode(_members(lock)).decode()

    return Asked("lock_get", "read", run, needs=_needs(LOCK, name))


def list_locks(part: LockPart, request: Request[LockListing]) -> Asked:
    """`GET /locks`: list locks that are held, by a prefix of their names."""
    given = request.given

    async def run() -> str:
        found = await part.locks.list(given.prefix, given.limit)
        return msgspec.json.encode({"locks": [_members(lock) for lock in found]}).decode()

    return Asked(
        "lock_list", "read", run, cost=Cost(given.limit), needs=_needs(LOCK, given.prefix or None)
    )


ROUTES: Routes = {
    "/locks": {"GET": Route(list_locks, LockListing)},
    "/locks/{id}": {"GET": Route(get, RequestShape)},
    "/locks/{id}/acquire": {"POST": Route(acquire, Acquiring, MemberPlace.BODY)},
    "/locks/{id}/release": {"POST": Route(release, Releasing, MemberPlace.BODY)},
    "/locks/{id}/steal": {"POST": Route(steal, Taking, MemberPlace.BODY)},
}


def _answer_taken(taken: Future[Granted]) -> Answer:
    try:
        return Answer(200, _acquired_json(taken.result()))
    except LockHeld as error:
        return Answer(error.STATUS, _held_json(error))


def _answer_released(released: Future[bool]) -> Answer:
    return Answer(200, flag_json("released", released.result()))


def _needs(scope: str, name: str | None) -> list[Need]:
    return [(scope, name)]


def _name(request: Request[Any]) -> str:
    return request.name("the name of a lock")


def _wanted(part: LockPart, request: Request[Any]) -> WantedLock:
    given: Taking = request.given
    metadata = canonical_metadata(given.metadata, part.store.clock.wall())
    return WantedLock(_name(request), given.owner, given.duration, metadata)


def _note_unwanted(
    part: LockPart, request: Request[Any], wanted: WantedLock, lock: Granted
) -> None:
    """Arrange that the lock is given back if its answer cannot be delivered.

    With an idempotency key it is kept, since the owner may ask for the answer again.
    """
    if request.once is None:
        request.source.unwanted = partial(part.locks.give_back, wanted, lock)


def _acquired_json(lock: Granted) -> str:
    return f'{{"acquired":true,"token":"{lock.token}","expiresAt":{lock.expires_at}}}'


def _held_json(error: LockHeld) -> str:
    body = {
        "acquired": False,
        "owner": error.owner,
        "expiresAt": error.expires_at,
        "error": error.message,
        "code": error.CODE,
    }
    return msgspec.json.encode(body).decode()


def _members(lock: LockState) -> dict[str, Any]:
    return {
        "name": lock.name,
        "owner": lock.owner,
        "token": lock.token,
        "acquiredAt": lock.acquired_at,
        "expiresAt": lock.expires_at,
        "metadata": None if lock.metadata is None else msgspec.Raw(lock.metadata.encode()),
        "waiting": lock.waiting,
    }
