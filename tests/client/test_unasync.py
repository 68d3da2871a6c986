"""The program that makes the blocking half of the client."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import unasync

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WAITING = '''"""Says hello with `AsyncKv`, `async with` a stream."""

from collections.abc import AsyncIterator, Awaitable, Callable
from package._async.other import AsyncOther


async def each(
    first: AsyncOther, use: Callable[[int], Awaitable[dict[str, list[int]]]]
) -> AsyncIterator[int]:
    async with first as other:
        async for number in await other.numbers(use):
            yield number
'''
BLOCKING = '''# Made by scripts/unasync from _async/hello.py: change that one.
"""Says hello with `Kv`, `with` a stream."""

from collections.abc import Callable, Iterator

from package._sync.other import Other


def each(first: Other, use: Callable[[int], dict[str, list[int]]]) -> Iterator[int]:
    with first as other:
        yield from other.numbers(use)
'''


def test_what_waits_becomes_what_blocks(tmp_path: Path) -> None:
    for folder in ("_async", "_sync"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_async" / "hello.py").write_text(WAITING)
    path = tmp_path / "_sync" / "hello.py"
    assert unasync.blocking_modules(tmp_path, Counter()) == {path: BLOCKING}
    path.write_text(BLOCKING)
    assert unasync.blocking_modules(tmp_path, Counter()) == {path: BLOCKING}
    path.write_text('"""Written by hand."""\n')
    assert unasync.blocking_modules(tmp_path, Counter()) == {}


@pytest.mark.parametrize("folder", unasync.FOLDERS)
def test_what_is_written_by_hand_has_the_same_names(folder: str) -> None:
    by_hand = [path for path in (ROOT / folder / "_sync").glob("*.py") if not unasync.is_made(path)]
    for path in by_hand:
        assert (path.parents[1] / "_async" / path.name).exists(), path
