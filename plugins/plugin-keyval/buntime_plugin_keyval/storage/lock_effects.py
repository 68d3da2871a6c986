"""What a commit does to locks. Those that give one come behind the `NoteStamp` of its token."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class Prolong(msgspec.Struct, frozen=True, gc=False):
    """Let somebody who has a lock keep it for so long from now on, under the token that it has."""

    name: str
    owner: str
    metadata: str | None
    """None for what it has already."""
    duration_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (self.name, self.owner, self.metadata, at.now_ms, self.duration_ms)
        return (Statement(sql.locks.prolong, args),)


class Acquire(msgspec.Struct, frozen=True, gc=False):
    """Give somebody a lock that nobody has, or waits for longer.

    Behind a `Prolong`, for who may have it already.
    """

    name: str
    owner: str
    metadata: str | None
    duration_ms: int
    is_stolen: bool = False
    """Whether it does not matter who has it."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (self.name, self.owner, self.metadata, at.now_ms, self.duration_ms)
        give = sql.locks.steal if self.is_stolen else sql.locks.acquire
        served = Statement(sql.locks.served_owner, (self.name, self.owner, at.now_ms))
        return (Statement(give, args), served)


class Enlist(msgspec.Struct, frozen=True, gc=False):
    """Take a place in the line of a lock, or keep the one that is there, unless it was given."""

    name: str
    owner: str
    metadata: str | None
    duration_ms: int
    process: str
    stay_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        locks, now_ms = sql.locks, at.now_ms
        place = (self.name, self.owner, self.metadata, self.duration_ms, self.process)
        return (
            Statement(locks.lapse, (self.name, self.owner, now_ms)),
            Statement(locks.enlist, (*place, now_ms, now_ms + self.stay_ms)),
        )


class Stay(msgspec.Struct, frozen=True, gc=False):
    """Let those of these places last that a process looks after."""

    process: str
    places: Sequence[tuple[str, str]]
    """Names of locks, and owners."""
    stay_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (self.process, at.now_ms + self.stay_ms, _json(self.places))
        return (Statement(sql.locks.stay, args),)


class Leave(msgspec.Struct, frozen=True, gc=False):
    """Give up a place."""

    name: str
    owner: str
    process: str
    """Which looks after it: another one may have taken it over, for who asked again there."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        return (Statement(sql.locks.leave, (self.name, self.owner, self.process)),)


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Prolong a lock, from now on."""

    name: str
    owner: str
    token: str
    duration_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        now_ms = at.now_ms
        args = (self.name, self.owner, self.token, now_ms, now_ms + self.duration_ms)
        return (Statement(sql.locks.renew, args),)


class Release(msgspec.Struct, frozen=True, gc=False):
    """End a lock; the one who is first in line gets it by a `PassOn`.

    Without a token the owner wants nothing of it any more: its place in the line is given up, too.
    """

    name: str
    owner: str
    token: str | None = None
    ends_at: int | None = None
    """Only if it ends then: whoever has prolonged it since keeps it."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (self.name, self.owner, self.token, at.now_ms, None, self.ends_at)
        release = Statement(sql.locks.release, args)
        if self.token is not None:
            return (release,)
        return release, Statement(sql.locks.leave, (self.name, self.owner, None))


class Withdraw(msgspec.Struct, frozen=True, gc=False):
    """Take back what a call asked for: its place, and the lock if it was given since."""

    name: str
    owner: str
    process: str
    """As in `Leave`."""
    since: str
    """Stamp of the commit that asked: what the owner had before that, it keeps."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (self.name, self.owner, None, at.now_ms, self.since, None)
        leave = Statement(sql.locks.leave, (self.name, self.owner, self.process))
        return leave, Statement(sql.locks.release, args)


class PassOn(msgspec.Struct, frozen=True, gc=False):
    """Give locks that nobody has to the first in line."""

    names: Sequence[str]

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        locks = sql.locks
        if len(self.names) == 1:
            args = (self.names[0], at.now_ms)
            return Statement(locks.grant_one, args), Statement(locks.served_one, args)
        args = (_json(self.names), at.now_ms)
        return Statement(locks.grant, args), Statement(locks.served, args)


class ForgetLocks(msgspec.Struct, frozen=True, gc=False):
    """Remove at most so many locks, and places, whose time was over before a moment."""

    age_ms: int
    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        args = (at.now_ms - self.age_ms, self.limit)
        return (Statement(sql.locks.forget, args), Statement(sql.locks.forget_places, args))


LockEffect = (
    Prolong | Acquire | Enlist | Stay | Leave | Renew | Release | Withdraw | PassOn | ForgetLocks
)

PASSING_ON = (Release, Withdraw, PassOn, Leave)
"""Those after which others may have a lock, or be the first in line."""


def holds(sql: Dialect, name: str, token: str, now_ms: int) -> Guard:
    """Holds while a lock is held under this token."""
    return Guard(sql.locks.holds, (name, token, now_ms))


def _json(items: Sequence[str | tuple[str, str]]) -> str:
    return msgspec.json.encode(items).decode()
