"""The guide of the client runs, with and without `async`; the reference is complete."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import buntime_keyval
import pytest
from buntime_keyval import AsyncKv, Kv
from client._async.beside import until as until_awaited
from client._sync.beside import until
from support.examples import Example, read_examples, run_python
from support.live import LiveServer

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = read_examples(DOCS / "client.md")
_TO_BLOCKING = [("async def ", "def "), ("async with ", "with "), ("async for ", "for "),
                ("await ", ""), ("AsyncKv", "Kv")]  # fmt: skip


async def test_the_guide_runs_as_it_is(server: LiveServer) -> None:
    async with AsyncKv(server.api) as kv:
        names: dict[str, Any] = {"kv": kv, "url": server.api, "happens": until_awaited}
        for example in EXAMPLES:
            await run_python(example, names)


async def test_the_guide_runs_without_async_and_await(server: LiveServer) -> None:
    def run() -> None:
        with Kv(server.api) as kv:
            names: dict[str, Any] = {"kv": kv, "url": server.api, "happens": until}
            for example in EXAMPLES:
                asyncio.run(run_python(blocking(example), names))

    await asyncio.to_thread(run)


def blocking(example: Example) -> Example:
    text = example.text
    for waiting, plain in _TO_BLOCKING:
        text = text.replace(waiting, plain)
    assert not re.search(r"\basync\b|\bawait\b", text)
    return example._replace(text=text)


def test_there_are_examples_for_each_subject() -> None:
    text = (DOCS / "client.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) >= 16
    for section in sections:
        assert "```python" in section, section.partition("\n")[0]


@pytest.mark.parametrize("name", sorted(buntime_keyval.__all__))
def test_every_public_name_is_in_the_reference(name: str) -> None:
    text = (DOCS / "client-reference.md").read_text()
    assert f"`{name}" in text
    kind = getattr(buntime_keyval, name)
    if isinstance(kind, type) and not issubclass(kind, (BaseException, dict, int)):
        for member, value in vars(kind).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert f"`{member}" in text or f".{member}" in text, f"{name}.{member}"
