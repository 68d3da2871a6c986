"""What is kept of an exception."""

from __future__ import annotations

import pytest
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.failures import checked_error, error_text
from buntime_keyval.wire.limits import MAX_ERROR_LENGTH


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ValueError(), "ValueError"),
        (ValueError("not an image"), "ValueError: not an image"),
        (ValueError("x" * MAX_ERROR_LENGTH), "ValueError: " + "x" * (MAX_ERROR_LENGTH - 12)),
        (ValueError("half of one: \ud83d"), "ValueError: half of one: ?"),
    ],
)
def test_an_exception_can_always_be_kept(error: Exception, kept: str) -> None:
    assert error_text(error) == kept == checked_error("error", kept)


@pytest.mark.parametrize("wrong", [None, 5, b"x", "x" * (MAX_ERROR_LENGTH + 1)])
def test_what_somebody_says_is_a_text_that_has_a_limit(wrong: object) -> None:
    with pytest.raises(InvalidInput, match=r"error (must be a string|too long: 10001 characters)"):
        checked_error("error", wrong)
