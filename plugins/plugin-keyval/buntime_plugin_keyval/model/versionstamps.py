"""Versionstamps: UUIDv7s that grow with every commit of a store, whoever makes it.

The newest row of the change log is the clock of the store, together with the one row of
`kv_stamps`, which has the newest stamp of a commit that need not have logged anything: it sent
messages, or deleted what was missing. A commit's stamp is greater than both, and it is the
statement that writes it into one of them, run while the write lock is held, that sees to it
(`dialects/sqlite/stamps.py`). So stamps are in the order of the commits over processes, hosts and
restarts, and whatever their clocks say.

A commit that has nothing to do writes nothing, so that its stamp is in order within its process
alone.

A stamp is made before the lock is held: milliseconds and a count, 60 bits together, and 62 random
ones. Nearly always it is greater than the newest, and the commit has it. If it is not, the commit
either fails and is made again (a firm stamp), or gets the next greater number from the database
(a late one); the random bits stay, and tell whose it is.
"""

from __future__ import annotations

import re

from uuid_utils import uuid4

TAIL_BEGINS = 19
"""Where in the text of a stamp the random part begins."""

COUNT_BITS = 12
"""Of the number in front of the random part; the others are milliseconds."""

_NUMBERED = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LAST_NUMBER = (1 << 60) - (1 << 40)
"""Beyond it there would soon be no greater one: nothing of the store's own comes near."""


class Stamps:
    """Makes the stamps of one process, each greater than all that it made or learned of before."""

    def __init__(self) -> None:
        self._number = 0
        self._milliseconds = -1
        self._head = ""

    @property
    def newest_ms(self) -> int:
        """The time in the newest of them, epoch milliseconds; 0 while there is none."""
        return self._number >> COUNT_BITS

    def make(self, now_ms: int) -> str:
        """A new one."""
        number = self._number + 1
        if number < now_ms << COUNT_BITS:
            number = now_ms << COUNT_BITS
        self._number = number
        milliseconds = number >> COUNT_BITS
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            digits = f"{milliseconds:012x}"
            self._head = f"{digits[:8]}-{digits[8:]}-7"
        # One of uuid4's has its random part in the same place, and this is the cheapest way to it.
        return "%s%03x%s" % (self._head, number & 4095, str(uuid4())[18:])  # noqa: UP031 - see above

    def learn(self, versionstamp: str) -> None:
        """Go on behind a stamp of somebody else. One of another kind says nothing."""
        found = _NUMBERED.fullmatch(versionstamp)
        if found:
            number = int("".join(found.groups()), 16)
            if self._number < number <= _LAST_NUMBER:
                self._number = number


def tail_of(versionstamp: str) -> str:
    """The random part, which is known before the commit."""
    return versionstamp[TAIL_BEGINS:]


def milliseconds_of(versionstamp: str) -> int:
    """Those of a stamp of the store's own."""
    return int(versionstamp[:8] + versionstamp[9:13], 16)


def moved(versionstamp: str, milliseconds: int) -> str:
    """A stamp that is so much later, with the same count and random part."""
    digits = f"{milliseconds_of(versionstamp) + milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}{versionstamp[13:]}"


def just_after(versionstamp: str) -> str:
    """A stamp that is greater, and smaller than any of a later commit."""
    tail = int(versionstamp[TAIL_BEGINS:].replace("-", ""), 16) + 1
    digits = f"{tail:016x}"
    return f"{versionstamp[:TAIL_BEGINS]}{digits[:4]}-{digits[4:]}"
