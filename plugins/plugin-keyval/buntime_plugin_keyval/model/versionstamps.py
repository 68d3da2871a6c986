"""Versionstamps: UUIDv7s that grow with every commit of a store, from any process.

The newest row of the change log serves as the clock of the store, together with the one row of
`kv_stamps`, which has the newest stamp of commits that may log nothing: those that send messages,
or delete missing keys. A commit's stamp is greater than both. This is ensured by the statement that
writes it to one of them while the write lock is held (`dialects/sqlite/stamps.py`). So stamps are
in the order of commits across processes, hosts and restarts, whatever their clocks show.

A commit that has nothing to do writes nothing, so its stamp is in order only within its process.

A stamp is made before the lock is held: milliseconds and a count, together 60 bits, and 62 random
bits. Nearly always it is greater than the newest one, and the commit uses it. If it is not, the
commit either fails and is made again (a firm stamp), or gets the next greater number from the
database (a late one); the random bits stay, and identify the commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import urandom

TAIL_BEGINS = 19
"""The index in the text of a stamp at which the random part begins."""

COUNT_BITS = 12
"""The bits of the count in the number before the random part; the others are milliseconds."""

_TWO_DIGITS = tuple(f"{number:02x}" for number in range(256))
_ENDS = 64
"""Random parts that are made at once."""
_OF_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
"""What makes a random byte the first one behind the count of a UUID."""

_NUMBERED = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LAST_NUMBER = (1 << 60) - (1 << 40)
"""Greater numbers would soon leave no next one; the store's own never come near."""


class Stamps:
    """Makes the stamps of one process, each greater than all that it made or learned before."""

    def __init__(self) -> None:
        self._ends = _random_ends()
        """Of the next stamps."""
        self._milliseconds = self._block = self._place = 0
        """Of the newest stamp; all of its number but two digits, and these."""
        self._head = ""
        """All that is in front of these digits."""
        self._go_on(0)

    @property
    def newest_ms(self) -> int:
        """The time in the newest stamp, in epoch milliseconds; 0 if there is none."""
        return self._milliseconds

    def make(self, now_ms: int) -> str:
        """Make a stamp."""
        # Nearly always it differs from the one before in two digits, and in its random part.
        place = self._place + 1
        if now_ms > self._milliseconds or place == len(_TWO_DIGITS):
            self._go_on(max(self._newest + 1, now_ms << COUNT_BITS))
        else:
            self._place = place
        end = next(self._ends, None)
        if end is None:
            self._ends = _random_ends()
            end = next(self._ends)
        return f"{self._head}{_TWO_DIGITS[self._place]}-{end[0]}-{end[1]}"

    def learn(self, versionstamp: str) -> None:
        """Make greater stamps than one of another process; stamps of another form are ignored."""
        found = _NUMBERED.fullmatch(versionstamp)
        if found:
            number = int("".join(found.groups()), 16)
            if self._newest < number <= _LAST_NUMBER:
                self._go_on(number)

    @property
    def _newest(self) -> int:
        """The number of the newest stamp."""
        return self._block * len(_TWO_DIGITS) + self._place

    def _go_on(self, number: int) -> None:
        """The newest stamp has this number."""
        self._milliseconds = number >> COUNT_BITS
        self._block, self._place = divmod(number, len(_TWO_DIGITS))
        digits = f"{self._block:013x}"
        self._head = f"{digits[:8]}-{digits[8:12]}-7{digits[12:]}"


def _random_ends() -> Iterator[tuple[str, str]]:
    """What ends UUIDs of version 4, in two parts: together cheaper than one by one."""
    variants = bytearray(urandom(2 * _ENDS))
    variants[::2] = variants[::2].translate(_OF_VARIANT)
    rest = urandom(6 * _ENDS)
    return zip(variants.hex("-", 2).split("-"), rest.hex("-", 6).split("-"), strict=True)


def tail_of(versionstamp: str) -> str:
    """The random part of a stamp, which is known before the commit."""
    return versionstamp[TAIL_BEGINS:]


def milliseconds_of(versionstamp: str) -> int:
    """The milliseconds in a stamp of the store's own form."""
    return int(versionstamp[:8] + versionstamp[9:13], 16)


def moved(versionstamp: str, milliseconds: int) -> str:
    """A stamp that is later by so many milliseconds, with the same count and random part."""
    digits = f"{milliseconds_of(versionstamp) + milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}{versionstamp[13:]}"


def just_after(versionstamp: str) -> str:
    """A stamp that is greater than this one, and less than those of all later commits."""
    tail = int(versionstamp[TAIL_BEGINS:].replace("-", ""), 16) + 1
    digits = f"{tail:016x}"
    return f"{versionstamp[:TAIL_BEGINS]}{digits[:4]}-{digits[4:]}"
