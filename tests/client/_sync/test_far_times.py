# Made by scripts/unasync from _async/test_far_times.py: change that one.
"""Times and durations at, and beyond, what 64 bits hold: never a wrap-around, never a traceback."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from buntime_keyval import InvalidInput, Kv

pytestmark = pytest.mark.slow

FAR: list[Any] = [
    2**53, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 10**30, 1e19, 1e300, "9223372036854775807",
    "9223372036854775808", "99999999999999999999d", timedelta.max,
]  # fmt: skip


@pytest.mark.parametrize("duration", FAR, ids=str)
def test_a_life_that_is_longer_than_times_can_say_lasts(kv: Kv, duration: Any) -> None:
    kv.set(["e", 1], 1, expires_in=duration)
    kv.atomic().set(["e", 2], 2, expires_in=duration).commit()
    kv.store(["e"], expires_in=duration).set(3, 3)
    entries = list(kv.list(["e"], details=True))
    assert [entry.value for entry in entries] == [1, 2, 3]
    for entry in entries:
        assert entry.details is not None
        at = entry.details.expires_at
        assert at is None or at > datetime.now(UTC).timestamp() * 1000 + 10**12


@pytest.mark.parametrize("moment", [2**53, 2**63 - 1, 2**63, 10**30, 1e19, datetime.max], ids=str)
def test_a_time_that_is_too_far_away_is_never(kv: Kv, moment: Any) -> None:
    if isinstance(moment, datetime):
        moment = moment.replace(tzinfo=UTC)
    kv.set(["e", 1], 1, expires_at=moment)
    assert (kv.get(["e", 1])).value == 1


@pytest.mark.parametrize("wrong", [math.inf, math.nan, -(2**63), 10**400, "1e30", "-1d", -1, 0])
def test_what_is_no_time_is_refused(kv: Kv, wrong: Any) -> None:
    for name in ("expires_in", "expires_at"):
        with pytest.raises(InvalidInput, match=name):
            kv.set(["e"], 1, **{name: wrong})
    assert kv.count() == 0


@pytest.mark.parametrize("delay", FAR, ids=str)
def test_a_message_may_wait_for_ever(kv: Kv, delay: Any) -> None:
    before = (kv.queue_stats()).pending
    kv.enqueue("late", delay=delay)
    kv.enqueue("now", backoff_schedule=[delay])
    message = kv.dequeue()
    assert message is not None
    assert message.value == "now"
    kv.extend_message(message, delay)
    kv.nack_message(message)
    assert kv.dequeue() is None
    assert (kv.queue_stats()).pending == before + 2


@pytest.mark.parametrize("duration", [d for d in FAR if not isinstance(d, timedelta)], ids=str)
def test_over_http(api: str, duration: Any) -> None:
    mutation = {"type": "set", "key": ["e", 1], "value": 1, "expiresIn": duration}
    with httpx2.Client(base_url=api) as http:
        answer = http.post("/atomic", json={"mutations": [mutation]})
        assert answer.status_code == 200, answer.text
        assert http.get("/keys/e/1").json()["value"] == 1
        for query in (f"expiresIn={duration}", f"expiresAt={duration}"):
            answer = http.put(f"/keys/e/2?{query}", json=1)
            assert answer.status_code in (200, 400), answer.text
            assert list(answer.json()) in (["ok", "versionstamp"], ["error"])
