"""Metadata and moments of expiry, as both sides check them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from buntime_keyval.wire import (
    InvalidInput,
    canonical_metadata,
    encode_metadata,
    parse_expires_at,
    parse_metadata,
)
from buntime_keyval.wire.limits import MAX_METADATA_BYTES, MAX_TIMESTAMP_MS


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (None, None),
        ("null", None),
        (" { } ", "{}"),
        ("[1.0, -0.0]", "[1,0]"),
        ('{"$now": true, "$offset": 2}', "7"),
        ('"é"', '"é"'),
    ],
)
def test_metadata_is_canonical(text: str | None, canonical: str | None) -> None:
    assert parse_metadata(text, 5) == canonical


@pytest.mark.parametrize("text", ["", "{", "'x'", "\ud800", "[" * 300 + "]" * 300])
def test_what_is_no_json_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="metadata must be JSON, received"):
        parse_metadata(text, 5)


def test_the_limit_counts_bytes() -> None:
    fits = "é" * (MAX_METADATA_BYTES // 2 - 1)
    assert canonical_metadata(fits, 0) == encode_metadata(fits, None) == f'"{fits}"'
    for too_large in (fits + "x", [fits]):
        with pytest.raises(InvalidInput, match="metadata too large"):
            canonical_metadata(too_large, 0)
        with pytest.raises(InvalidInput, match="metadata too large"):
            encode_metadata(too_large, None)


def test_a_client_leaves_now_to_the_server() -> None:
    assert encode_metadata({"at": {"$now": True}}, None) == '{"at":{"$now":true}}'
    assert encode_metadata({"at": {"$now": True}}, 3) == '{"at":3}'
    assert encode_metadata(None, 3) is None


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        (None, None),
        (1, 1),
        (0.25, 1),
        ("1700000000000", 1_700_000_000_000),
        ("007", 7),
        (1e300, MAX_TIMESTAMP_MS),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1000),
        (datetime(1970, 1, 1, 1, 0, 0, 1500, tzinfo=timezone(timedelta(hours=1))), 2),
    ],
)
def test_a_moment(given: object, milliseconds: int | None) -> None:
    assert parse_expires_at(given) == milliseconds
