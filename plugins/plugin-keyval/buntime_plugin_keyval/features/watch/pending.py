"""Notices that wait to be sent, and how they are divided into events."""

from __future__ import annotations

from typing import NamedTuple

from buntime_keyval.wire import decode_key, key_to_json

from buntime_plugin_keyval.model.changes import Place, mark_of
from buntime_plugin_keyval.storage.entry_json import entry_json, entry_pieces, missing_json

LONG = 4096
"""A value with more characters is long."""

LARGE = 64 * 1024
"""Characters from which a value is sent as a piece of its own."""


class State:
    """The state of a key; value and versionstamp are None if it does not exist."""

    __slots__ = ("_pieces", "holders", "key", "size", "value", "versionstamp")

    def __init__(self, key: bytes, value: str | bytes | None, versionstamp: str | None) -> None:
        self.key = key
        self.value = value
        """JSON; a long one may be bytes of UTF-8."""
        self.size = len(value or "")
        self.versionstamp = None if value is None else versionstamp
        self._pieces: tuple[bytes, ...] = ()
        self.holders = 0
        """The number of watchers that have it pending; see `PendingRoom`."""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The entry as JSON, made once however many watchers send it; a large value on its own."""
        if not self._pieces:
            key = key_to_json(decode_key(self.key))
            value, versionstamp = self.value, self.versionstamp
            if value is None or versionstamp is None:
                self._pieces = (missing_json(key).encode(),)
            elif self.size > LARGE:
                if isinstance(value, str):
                    self.value = value = value.encode()  # so that it is kept once
                self._pieces = entry_pieces(key, value, versionstamp)
            else:
                text = value if isinstance(value, str) else value.decode()
                self._pieces = (entry_json(key, text, versionstamp).encode(),)
        return self._pieces


class Notice(NamedTuple):
    """The state of a key after a change."""

    since: str
    """Versionstamp of the first commit that changed the key and was not sent yet."""
    seq: int
    """Position in the log of the last change of the key."""
    commit: str
    """Versionstamp of the commit of that change."""
    state: State

    def place(self, log: str) -> Place:
        """The place after that change."""
        return Place(log, self.seq, mark_of(self.commit))


class Taken(NamedTuple):
    """Notices for one event."""

    notices: list[Notice]
    is_whole: bool
    """Whether no remaining notice belongs to a commit of these, or to an earlier one, so that they
    take a client from the state at one place to the state at another."""

    def states(self) -> list[State]:
        """The states to send; empties the list of notices."""
        states = [notice.state for notice in self.notices]
        self.notices.clear()
        return states


class PendingRoom:
    """The room for long values pending for all watchers together; each value counts once."""

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self, state: State) -> None:
        """Count one more watcher that has the state pending."""
        if not state.holders:
            self.left -= state.size
        state.holders += 1

    def give(self, state: State) -> None:
        """Count one less."""
        state.holders -= 1
        if not state.holders:
            self.left += state.size


class Pending:
    """The latest notice of each changed key, in the order of the changes."""

    def __init__(self, room: PendingRoom | None = None) -> None:
        self._notices: dict[bytes, Notice] = {}
        self._room = room
        self.chars = 0
        """Total length of the values."""

    def __len__(self) -> int:
        return len(self._notices)

    def add(self, notice: Notice) -> None:
        """Add a notice of a change that is later than all others."""
        key = notice.state.key
        known = self._notices.get(key)
        if known is not None:
            self._drop(known)
            notice = notice._replace(since=known.since)
        self._notices[key] = notice
        chars = notice.state.size
        self.chars += chars
        if chars > LONG and self._room is not None:
            self._room.take(notice.state)

    def forget(self, seq: int) -> None:
        """Drop the notices of changes up to this one."""
        for notice in [notice for notice in self._notices.values() if notice.seq <= seq]:
            self._drop(notice)

    def clear(self) -> None:
        if self.chars > LONG and self._room is not None:
            for notice in self._notices.values():
                if notice.state.size > LONG:
                    self._room.give(notice.state)
        self._notices.clear()
        self.chars = 0

    def take(self, limit: int) -> Taken:
        """Take the first notices, at most `limit`.

        If there are more, they are divided so that the first part is whole, or else at the end of a
        commit; only a commit that is too large by itself is divided.
        """
        notices = [*self._notices.values()]
        if len(notices) <= limit:
            self.clear()
            return Taken(notices, True)
        since = notices[-1].since
        for notice in notices[limit:]:
            since = min(since, notice.since)
        whole = commit = 0
        for end in range(limit, 0, -1):
            before, behind = notices[end - 1], notices[end]
            since = min(since, behind.since)
            if since > before.commit:  # versionstamps grow from commit to commit
                whole = end
                break
            if not commit and behind.commit != before.commit:
                commit = end
        taken = notices[: whole or commit or limit]
        for notice in taken:
            self._drop(notice)
        return Taken(taken, bool(whole))

    def _drop(self, notice: Notice) -> None:
        del self._notices[notice.state.key]
        chars = notice.state.size
        self.chars -= chars
        if chars > LONG and self._room is not None:
            self._room.give(notice.state)
