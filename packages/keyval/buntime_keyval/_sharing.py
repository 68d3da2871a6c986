"""The shared state of the watches of one target. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from buntime_keyval._calls.keys import Entry
from buntime_keyval._watching import WatchedKeys
from buntime_keyval.wire import InvalidInput, encode_key

EntryBatch = list[Entry]

BUFFER_SIZE = 1000
"""Keys that wait for one watch unless it says otherwise."""


def check_sharing(*, polling: bool) -> None:
    """Raise `InvalidInput` for what cannot be shared."""
    if polling:
        raise InvalidInput("a shared watch needs a stream: mode must be sse")


class Latest:
    """The reports of a stream: the last entry of each existing key, the newest one last.

    For a target with exact keys they are in the order of these.
    """

    def __init__(self, target: WatchedKeys) -> None:
        self._target = target
        self._entries: dict[bytes, Entry] = {}
        self.begun = False
        """Whether the stream has reported the entries at its beginning."""

    def take(self, batch: EntryBatch) -> None:
        """Note a batch; an empty one says that earlier reports are out of date."""
        self.begun = True
        if not batch:
            self._entries.clear()
        for entry in batch:
            code = encode_key(entry.key)
            if not self._target.exact:
                self._entries.pop(code, None)
            if self._target.exact or entry.versionstamp is not None:
                self._entries[code] = entry

    def batches(self) -> Iterator[EntryBatch]:
        """All of it, in the sizes that the target asks for."""
        entries = list(self._entries.values())
        size = max(len(self._target.keys), 1) if self._target.exact else self._target.limit
        for start in range(0, len(entries), size):
            yield entries[start : start + size]
