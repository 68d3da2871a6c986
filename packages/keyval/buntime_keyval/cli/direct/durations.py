"""Durations as Go writes them, such as `1h30m`, beside those of everything else here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from buntime_keyval.wire import InvalidInput, parse_duration

if TYPE_CHECKING:
    from buntime_keyval import Duration

_UNITS_MS = {
    "ns": 1e-6,
    "us": 1e-3,
    "\N{MICRO SIGN}s": 1e-3,
    "\N{GREEK SMALL LETTER MU}s": 1e-3,
    "ms": 1.0,
    "s": 1000.0,
    "m": 60_000.0,
    "h": 3_600_000.0,
}
_PART = rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_UNITS_MS)})"
_PARTS = re.compile(_PART)
_WHOLE = re.compile(rf"[+-]?(?:{_PART})+")
_NUMBER = re.compile(r"[+-]?[0-9.]+")


class DurationType(click.ParamType[float]):
    """A length of time that is more than nothing, in milliseconds."""

    name = "duration"

    def convert(
        self, value: Duration, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `click`. A number without a unit is none: nobody could tell what it means."""
        milliseconds = None
        text = str(value).strip()
        if _WHOLE.fullmatch(text):
            parts = _PARTS.findall(text)
            milliseconds = sum(float(number) * _UNITS_MS[unit] for number, unit in parts)
            milliseconds *= -1 if text.startswith("-") else 1
        elif not _NUMBER.fullmatch(text):
            try:
                milliseconds = parse_duration(text)
            except InvalidInput:
                milliseconds = None
        if milliseconds is None:
            self.fail(f"{text[:50]!r} is not a duration: use one such as 90s, 1h30m or 250ms")
        if milliseconds <= 0:
            self.fail(f"{text[:50]!r} must be more than 0", param, ctx)
        return milliseconds


DURATION = DurationType()
