"""Effects on locks. Those that give a lock come after the `NoteStamp` that is its token."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class Prolong(msgspec.Struct, frozen=True, gc=False):
    """Prolong the lock that an owner has, from now on, under its present token."""

    name: str
    owner: str
    metadata: str | None
    """None keeps the present metadata."""
    duration_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.owner, self.metadata, at.now_ms, self.duration_ms)
        return (Statement(sql.locks.prolong, args),)


class Acquire(msgspec.Struct, frozen=True, gc=False):
    """Give an owner a lock that is free and that no other owner waits for longer.

    Comes after a `Prolong`, for owners that may have it already.
    """

    name: str
    owner: str
    metadata: str | None
    duration_ms: int
    is_stolen: bool = False
    """Whether it is taken even if another owner has it."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.owner, self.metadata, at.now_ms, self.duration_ms)
        give = sql.locks.steal if self.is_stolen else sql.locks.acquire
        served = Statement(sql.locks.served_owner, (self.name, self.owner, at.now_ms))
        return (Statement(give, args), served)


class Enlist(msgspec.Struct, frozen=True, gc=False):
    """Take a place in the line of a lock, or keep the present one, unless the lock was given."""

    name: str
    owner: str
    metadata: str | None
    duration_ms: int
    process: str
    stay_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        locks, now_ms = sql.locks, at.now_ms
        place = (self.name, self.owner, self.metadata, self.duration_ms, self.process)
        return (
            Statement(locks.lapse, (self.name, self.owner, now_ms)),
            Statement(locks.enlist, (*place, now_ms, now_ms + self.stay_ms)),
        )


class Stay(msgspec.Struct, frozen=True, gc=False):
    """Prolong those of these places that a process looks after."""

    process: str
    places: Sequence[tuple[str, str]]
    """Pairs of lock name and owner."""
    stay_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.process, at.now_ms + self.stay_ms, _json(self.places))
        return (Statement(sql.locks.stay, args),)


class Leave(msgspec.Struct, frozen=True, gc=False):
    name: str
    owner: str
    process: str
    """The process that looks after the place. Another one may have taken it over by now, if the
    owner has asked again there."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.locks.leave, (self.name, self.owner, self.process)),)


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Prolong the lock held under a token, from now on."""

    name: str
    owner: str
    token: str
    duration_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        now_ms = at.now_ms
        args = (self.name, self.owner, self.token, now_ms, now_ms + self.duration_ms)
        return (Statement(sql.locks.renew, args),)


class Release(msgspec.Struct, frozen=True, gc=False):
    """End a lock; a `PassOn` then gives it to the first in line.

    Without a token the owner's place in line is given up, too.
    """

    name: str
    owner: str
    token: str | None = None
    ends_at: int | None = None
    """If given, the lock is ended only if this is its end: a lock prolonged since is kept."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.owner, self.token, at.now_ms, None, self.ends_at)
        release = Statement(sql.locks.release, args)
        if self.token is not None:
            return (release,)
        return release, Statement(sql.locks.leave, (self.name, self.owner, None))


class Withdraw(msgspec.Struct, frozen=True, gc=False):
    """Undo a call: give up its place, and the lock if it was given since."""

    name: str
    owner: str
    process: str
    """As in `Leave`."""
    since: str
    """Stamp of the commit that asked; a lock that the owner had before it is kept."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.owner, None, at.now_ms, self.since, None)
        leave = Statement(sql.locks.leave, (self.name, self.owner, self.process))
        return leave, Statement(sql.locks.release, args)


class PassOn(msgspec.Struct, frozen=True, gc=False):
    """Give free locks to the first in line."""

    names: Sequence[str]

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        locks = sql.locks
        if len(self.names) == 1:
            args = (self.names[0], at.now_ms)
            return Statement(locks.grant_one, args), Statement(locks.served_one, args)
        args = (_json(self.names), at.now_ms)
        return Statement(locks.grant, args), Statement(locks.served, args)


class ForgetLocks(msgspec.Struct, frozen=True, gc=False):
    """Remove a bounded number of locks and places that ended long ago."""

    age_ms: int
    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (at.now_ms - self.age_ms, self.limit)
        return (Statement(sql.locks.forget, args), Statement(sql.locks.forget_places, args))


LockEffect = (
    Prolong | Acquire | Enlist | Stay | Leave | Renew | Release | Withdraw | PassOn | ForgetLocks
)

PASSING_ON = (Release, Withdraw, PassOn, Leave)
"""Effects after which another owner may have a lock, or be first in line."""


def holds(sql: Dialect, name: str, token: str, now_ms: int) -> Guard:
    """Holds while a lock is held under this token."""
    return Guard(sql.locks.holds, (name, token, now_ms))


def _json(items: Sequence[str | tuple[str, str]]) -> str:
    return msgspec.json.encode(items).decode()
