"""When a schedule is due: a cron expression in a time zone, or a pause.

Times are wall-clock times in epoch milliseconds, since "every day at six" refers to that clock.
Daylight saving follows Debian's cron: a time that a day does not have is replaced by the next one
that exists, and a time that a day has twice counts once, unless hour or minute of the expression
begin with a star.

Calendars and zones are imported on first use: a store without schedules needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe

from buntime_plugin_keyval.model.messages import parse_pause

MOST_CRON = 256
"""The most characters of an expression."""
FIELDS = 5
LEAST_PAUSE_MS = 1000
MOST_PAUSE_MS = 366 * 24 * 60 * 60 * 1000
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Names that cron has for expressions."""
PAUSE_SET_BACK_MS = 60 * 1000
TIMES_SET_BACK_MS = 3 * 60 * 60 * 1000
"""A clock that was set back by more than these was wrong before: pauses begin anew, and times that
it met are met again. The limit for times is that of Debian's cron. The one for pauses, and for
times that were not met, is more than the clocks of hosts differ by, since otherwise one host would
take back what another has started."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Timing(msgspec.Struct, frozen=True, omit_defaults=True):
    """When something is due. Exactly one of `cron` and `every` is set."""

    cron: str | None = None
    every: int | None = None
    """Milliseconds from one time to the next."""
    timezone: str = "UTC"

    def following(self, after_ms: int, last_ms: int) -> Iterator[int]:
        """The times after a moment; `last_ms` is a time at which it was due, or began."""
        if self.every is None:
            return self._following_of_cron(after_ms)
        return self._following_of_pause(self.every, after_ms, last_ms)

    def next(self, after_ms: int, last_ms: int) -> int | None:
        """The first time after a moment; None if there is none within fifty years."""
        return next(self.following(after_ms, last_ms), None)

    @property
    def goes_on(self) -> bool:
        """Whether it is defined by the pause between times rather than by times of the day.

        As in cron, this is also so if minute or hour begins with a star.
        """
        if self.every is not None:
            return True
        minute, hour, *_ = self._expression().split(" ")
        return minute.startswith("*") or hour.startswith("*")

    def _expression(self) -> str:
        return NAMED.get(str(self.cron), str(self.cron))

    def _following_of_pause(self, every: int, after_ms: int, last_ms: int) -> Iterator[int]:
        at_ms = last_ms + every * max(1, (after_ms - last_ms) // every + 1)
        while True:
            yield at_ms
            at_ms += every

    def _following_of_cron(self, after_ms: int) -> Iterator[int]:
        from zoneinfo import ZoneInfo

        from cronsim import CronSim

        after = _EPOCH + timedelta(milliseconds=after_ms)
        zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        for at in CronSim(self._expression(), after.astimezone(zone)):
            at_ms = (at.astimezone(UTC) - _EPOCH) // _MILLISECOND
            # In an hour that the day has twice, the next time may be one of the first hour.
            if at_ms > after_ms:
                yield at_ms
                after_ms = at_ms


def checked_cron(value: object) -> str:
    """Check a cron expression. Raises `InvalidInput`."""
    from cronsim import CronSim, CronSimError

    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(
            f'cron must be a text of five fields such as "*/5 * * * *", received {describe(value)}'
        )
    text = " ".join(value.split())
    if len(text) > MOST_CRON:
        raise InvalidInput(f"cron too long: {len(text)} characters (max {MOST_CRON})")
    if text.startswith("@"):
        if text.lower() not in NAMED:
            raise InvalidInput(
                f"cron must be an expression or one of {', '.join(NAMED)}, received"
                f" {describe(text)}"
            )
        return text.lower()
    fields = text.split(" ")
    if len(fields) != FIELDS:
        raise InvalidInput(
            f"cron must have five fields (minute, hour, day of the month, month, day of the week),"
            f" received {len(fields)}: {describe(text)}"
        )
    try:
        found = next(CronSim(text, _EPOCH), None)
    except CronSimError as error:
        raise InvalidInput(f"cron has a {str(error).lower()}, received {describe(text)}") from None
    if found is None:
        raise InvalidInput(f"cron must match some day, received {describe(text)}")
    return text


def checked_pause(value: object) -> int:
    """Check the pause of `every`; the pause in milliseconds. Raises `InvalidInput`."""
    milliseconds = parse_pause("every", value)
    if not LEAST_PAUSE_MS <= milliseconds <= MOST_PAUSE_MS:
        raise InvalidInput(
            f'every must be a duration from 1s to 366d such as "10m", received {describe(value)}'
        )
    return milliseconds


def checked_timezone(value: object) -> str:
    """Check the name of a time zone. Raises `InvalidInput`."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if isinstance(value, str) and value:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # reported below, like other values
    raise InvalidInput(
        f'timezone must be the name of a time zone such as "Europe/Lisbon", received'
        f" {describe(value)}"
    )


def due_times(timing: Timing, next_ms: int, now_ms: int, limit: int) -> list[int]:
    """The times from `next_ms` until now, at most `limit` of them, the earliest first."""
    times = [next_ms] if next_ms <= now_ms else []
    for at_ms in islice(timing.following(next_ms, next_ms), limit - 1):
        if at_ms > now_ms:
            break
        times.append(at_ms)
    return times


def last_due(timing: Timing, next_ms: int, now_ms: int, within_ms: int) -> int | None:
    """The last time until now, if it was at most `within_ms` ago."""
    begin_ms = max(next_ms, now_ms - within_ms)
    found = next_ms if begin_ms == next_ms <= now_ms else None
    for at_ms in timing.following(max(next_ms, begin_ms - 1), next_ms):
        if at_ms > now_ms:
            break
        found = at_ms
    return found


def next_if_set_back(timing: Timing, next_ms: int, last_ms: int | None, now_ms: int) -> int | None:
    """The next time, if `next_ms` was found by a clock that has been set back since.

    None if it was not, or by so little that the times until then were met already. `last_ms` is the
    time that was met last, None if none was.
    """
    first_ms = timing.next(now_ms, now_ms)
    is_met = first_ms is not None and last_ms is not None and first_ms <= last_ms < next_ms
    within_ms = TIMES_SET_BACK_MS if is_met and not timing.goes_on else PAUSE_SET_BACK_MS
    latest_ms = timing.next(now_ms + within_ms, now_ms + within_ms)
    if latest_ms is None or next_ms <= latest_ms:
        return None
    return first_ms
