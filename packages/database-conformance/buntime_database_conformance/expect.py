"""Checks with messages about the expected and the actual result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, NoReturn, TypeVar

E = TypeVar("E", bound=BaseException)


class Raised(Generic[E]):
    """Holds the error once the block is left."""

    def __init__(self) -> None:
        self.error: E


def fail(message: str) -> NoReturn:
    """End the case."""
    raise AssertionError(message)


def expect(actual: object, wanted: object, what: str) -> None:
    """Equal, and of equal types wherever there are values: 1 is neither 1.0 nor True."""
    if not _same(actual, wanted):
        fail(f"{what}: expected {wanted!r}, got {actual!r}")


@contextmanager
def expect_raises(kind: type[E], what: str) -> Iterator[Raised[E]]:
    """The block must raise an error of this kind."""
    raised: Raised[E] = Raised()
    try:
        yield raised
    except kind as error:
        raised.error = error
    except Exception as error:
        raise AssertionError(f"{what}: expected {kind.__name__}, got {error!r}") from error
    else:
        fail(f"{what}: expected {kind.__name__}, but nothing was raised")


def _same(actual: object, wanted: object) -> bool:
    if isinstance(wanted, (list, tuple)):
        return (
            type(actual) is type(wanted)
            and isinstance(actual, (list, tuple))
            and len(actual) == len(wanted)
            and all(map(_same, actual, wanted))
        )
    if isinstance(wanted, dict):
        return (
            isinstance(actual, dict)
            and list(actual) == list(wanted)
            and all(_same(actual[key], wanted[key]) for key in wanted)
        )
    return type(actual) is type(wanted) and actual == wanted
