"""Optimistic transactions: reads are remembered, writes collected, and one commit checks both."""

from __future__ import annotations

import random
from typing import Any

from buntime_keyval._calls.atomic import AtomicBuilder, MutationKey
from buntime_keyval._calls.keys import Entry
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TransactionConflict
from buntime_keyval._results import CommitResult
from buntime_keyval.wire import Duration, InvalidInput, Key, encode_key, parse_duration
from buntime_keyval.wire.commits import Contents
from buntime_keyval.wire.python_keys import checked_key, checked_keys


class TransactionBuilder(AtomicBuilder[MutationKey]):
    """The work of a transaction: the collection of an atomic commit, and the entries read for it.

    A key that was read once gives the same entry again; writes are buffered, and not seen by
    reads, until the commit, which fails if any key that was read has changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[bytes, Entry] = {}
        self._ended = False
        self.result: CommitResult | None = None
        """The outcome of the commit, once it has ended."""

    @property
    def versionstamp(self) -> str | None:
        """The versionstamp of the commit; None without one."""
        return None if self.result is None else self.result.versionstamp

    @property
    def read_count(self) -> int:
        """Distinct keys read so far."""
        return len(self._read)

    @property
    def write_count(self) -> int:
        """Mutations buffered so far."""
        return self.size

    def _collect(self) -> Contents:
        self._refuse_ended()
        return self._contents

    def _refuse_ended(self) -> None:
        if self._ended:
            raise RuntimeError("Transaction already committed")

    def _wanted(self, key: Any) -> tuple[list[Key], list[Key]]:
        """The keys of a read, and those of them that were not read before."""
        self._refuse_ended()
        keys = checked_keys(key) if is_many(key) else [checked_key(key)]
        unread = {encode_key(item): item for item in keys}
        return keys, [item for code, item in unread.items() if code not in self._read]

    def _entries(self, key: Any, keys: list[Key], fresh: list[Entry]) -> Entry | list[Entry]:
        for entry in fresh:
            self._read.setdefault(encode_key(entry.key), entry)
        entries = [self._read[encode_key(item)] for item in keys]
        return entries if is_many(key) else entries[0]

    def _end(self) -> None:
        """Require the entries that were read; nothing can be added any more."""
        self._refuse_ended()
        self.check(*self._read.values())
        self._ended = True

    def _finish(self, result: CommitResult) -> None:
        self.result = result
        if not result.ok:
            raise TransactionConflict(
                "The transaction conflicts with other writes; nothing was written"
            )


class Pauses:
    """The pauses before further attempts of a transaction: doubling, with as much again random."""

    def __init__(self, max_retries: int, retry_delay: Duration) -> None:
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise InvalidInput(f"max_retries must not be negative, received {max_retries!r}")
        self._delay = parse_duration(retry_delay) / 1000
        if self._delay < 0:
            raise InvalidInput(f"retry_delay must not be negative, received {retry_delay!r}")
        self.attempts = max_retries + 1

    def before(self, attempt: int) -> float:
        """Seconds to wait before an attempt; the first is 0."""
        if not attempt:
            return 0.0
        jitter = random.uniform(0, self._delay)  # noqa: S311 - spreads retries, no secret
        return float(self._delay * 2 ** (attempt - 1) + jitter)
