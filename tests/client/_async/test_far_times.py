"""Times and durations at, and beyond, what 64 bits hold: never a wrap-around, never a traceback."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from buntime_keyval import AsyncKv, InvalidInput

pytestmark = pytest.mark.slow

FAR: list[Any] = [
    2**53, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 10**30, 1e19, 1e300, "9223372036854775807",
    "9223372036854775808", "99999999999999999999d", timedelta.max,
]  # fmt: skip


@pytest.mark.parametrize("duration", FAR, ids=str)
async def test_a_life_that_is_longer_than_times_can_say_lasts(kv: AsyncKv, duration: Any) -> None:
    await kv.set(["e", 1], 1, expires_in=duration)
    await kv.atomic().set(["e", 2], 2, expires_in=duration).commit()
    await kv.store(["e"], expires_in=duration).set(3, 3)
    entries = [entry async for entry in kv.list(["e"], details=True)]
    assert [entry.value for entry in entries] == [1, 2, 3]
    for entry in entries:
        assert entry.details is not None
        at = entry.details.expires_at
        assert at is None or at > datetime.now(UTC).timestamp() * 1000 + 10**12


@pytest.mark.parametrize("moment", [2**53, 2**63 - 1, 2**63, 10**30, 1e19, datetime.max], ids=str)
async def test_a_time_that_is_too_far_away_is_never(kv: AsyncKv, moment: Any) -> None:
    if isinstance(moment, datetime):
        moment = moment.replace(tzinfo=UTC)
    await kv.set(["e", 1], 1, expires_at=moment)
    assert (await kv.get(["e", 1])).value == 1


@pytest.mark.parametrize("wrong", [math.inf, math.nan, -(2**63), 10**400, "1e30", "-1d", -1, 0])
async def test_what_is_no_time_is_refused(kv: AsyncKv, wrong: Any) -> None:
    for name in ("expires_in", "expires_at"):
        with pytest.raises(InvalidInput, match=name):
            await kv.set(["e"], 1, **{name: wrong})
    assert await kv.count() == 0


@pytest.mark.parametrize("delay", FAR, ids=str)
async def test_a_message_may_wait_for_ever(kv: AsyncKv, delay: Any) -> None:
    before = (await kv.queue_stats()).pending
    await kv.enqueue("late", delay=delay)
    await kv.enqueue("now", backoff_schedule=[delay])
    message = await kv.dequeue()
    assert message is not None
    assert message.value == "now"
    await kv.extend_message(message, delay)
    await kv.nack_message(message)
    assert await kv.dequeue() is None
    assert (await kv.queue_stats()).pending == before + 2


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
