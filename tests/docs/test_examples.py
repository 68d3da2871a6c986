"""Every example of the documentation runs and prints what the page says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.examples import Example, parse_documents, read_examples, run_python, run_shell
from support.live import LiveServer
from support.store import open_kv

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Blocks of a page build on each other, so a page is one case. They find $KV, the base of the API,
# and `kv`, a store for the Python blocks.
PAGES = [
    "README.md",
    "docs/consumers.md",
    "docs/embedded.md",
    "docs/engines.md",
    "docs/from-convex-kv.md",
    "docs/graph.md",
    "docs/keyval.md",
    "docs/locks.md",
    "docs/metrics.md",
    "docs/moving.md",
    "docs/queue.md",
    "docs/records.md",
    "docs/schedules.md",
    "docs/search.md",
    "docs/streams.md",
    "docs/tasks.md",
    "docs/watch.md",
    "packages/keyval/README.md",
    "plugins/plugin-keyval/README.md",
]


@pytest.mark.parametrize("page", PAGES)
async def test_examples(
    page: str, server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KV", server.api)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    examples = read_examples(ROOT / page)
    async with open_kv() as kv:
        names: dict[str, Any] = {"kv": kv}
        for example in examples:
            if example.language == "sh":
                problems = run_shell(example, {"KV": server.api}, tmp_path)
                assert not problems, f"{page}:{example.line}: {problems}"
            else:
                await run_python(example, names)


def test_the_guide_has_examples() -> None:
    languages = [example.language for example in read_examples(ROOT / "docs/keyval.md")]
    assert languages.count("sh") > 10
    assert languages.count("python") > 1


@pytest.mark.parametrize(
    ("script", "expected", "right"),
    [
        ('echo 1; echo \'{"a": 2, "b": 3}\'', '{"a": 2}', True),
        ("echo 1; echo '{\"a\": 2}'", '1 {"a": "..."}', True),
        ("echo '{\"a\": 2}'", '{"a": 3}', False),
        ("echo '[1]'", "[1, 2]", False),
        ("echo true", "1", False),
        ("echo 1.0", "1", False),
        ("echo", "1", False),
        ("false; echo 1", "1", False),
    ],
)
def test_wrong_output_is_noticed(script: str, expected: str, right: bool, tmp_path: Path) -> None:
    example = Example(1, "sh", script, expected)
    assert (run_shell(example, {}, tmp_path) == []) == right


async def test_a_failing_python_block_is_noticed() -> None:
    with pytest.raises(AssertionError):
        await run_python(Example(1, "python", "assert 1 == 2\n", None), {})


def test_only_the_block_behind_belongs_to_a_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\na\n```\n\n```json\n1\n```\n\n```json\n2\n```\n\n```sh\nb\n```\n")
    assert read_examples(page) == [Example(1, "sh", "a\n", "1\n"), Example(13, "sh", "b\n", None)]
    assert parse_documents('1 [2]\n{"a": 3}') == [1, [2], {"a": 3}]
