"""README's first minute, pasted by somebody whose store holds something already."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.api import api_of
from support.examples import read_examples, run_python, run_shell
from support.live import LiveServer
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8000/keyval/api"


def command(script: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", script]


def in_a_new_terminal(server: LiveServer, text: str) -> str:
    """The text for a server that has another address; nothing else is set there."""
    assert ADDRESS in text
    return text.replace(ADDRESS, server.api)


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "KV"}


async def test_it_deletes_nothing_that_was_there(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KV", server.api)
    with api_of(server.api) as api:
        for path in ("users/123", "users/1/name", "visits", "settings"):
            api.put(path, "precious")
        before = api.keys()
        for example in read_examples(README):
            if example.language == "sh":
                assert run_shell(example, {"KV": server.api}, tmp_path) == []
            else:
                await run_python(example, {})
        after = api.keys()
        assert [key for key in after if key[0] != "readme"] == before
        assert all(api.value(*key) == "precious" for key in before)


def test_every_answer_has_a_line_of_its_own(server: LiveServer) -> None:
    (script,) = (e.text for e in read_examples(README) if e.language == "sh")
    text = in_a_new_terminal(server, script)
    done = subprocess.run(
        command(text), env=environ(), capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == text.count("curl")
    assert answers[1]["value"] == {"name": "Alice", "age": 30}
    assert answers[-1] == {"deletedCount": 2}


async def test_the_watch_runs_in_another_terminal(server: LiveServer) -> None:
    (text,) = re.findall(r"```console\n(curl -N .*?)```", README.read_text(), re.DOTALL)
    watch = await asyncio.create_subprocess_exec(
        *command(f"exec {in_a_new_terminal(server, text)}"),
        env=environ(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert watch.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            await watch.stdout.readline()  # the stream is open
            with api_of(server.api) as api:
                api.put("readme/123", "seen")
            while b'"value":"seen"' not in await watch.stdout.readline():
                assert not watch.stdout.at_eof()
    finally:
        watch.kill()
        await watch.wait()
