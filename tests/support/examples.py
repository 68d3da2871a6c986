"""The examples of a Markdown document, and running them.

* A ```` ```sh ```` block runs in bash. If the next block is ```` ```json ````, it holds what the
  last commands print: as many JSON documents as it has, objects with at least these members,
  `"..."` for whatever comes.
* A ```` ```python ```` block runs with whatever names it is given; it may use `await`, and says
  with `assert` what it expects. Its names are there for the next one.
* Other blocks are only shown.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from support.matching import differences
from support.waiting import PATIENCE

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANYTHING = "..."


class Example(NamedTuple):
    """One block that can run."""

    line: int
    language: str
    text: str
    expected: str | None
    """JSON that a shell block prints."""


def read_examples(path: Path) -> list[Example]:
    """The shell and Python blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    examples = []
    for index, block in enumerate(blocks):
        language, source = block[1], block[2]
        if language in ("sh", "python"):
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            expected = None
            if language == "sh" and following is not None and following[1] == "json":
                expected = following[2]
            line = text.count("\n", 0, block.start()) + 1
            examples.append(Example(line, language, source, expected))
    return examples


def run_shell(example: Example, environ: Mapping[str, str], folder: Path) -> list[str]:
    """Run a shell block; what is wrong with its outcome."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.text],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,  # a block may start a dozen programs
        check=False,
    )
    if done.returncode:
        return [f"exit status {done.returncode}: {done.stdout}{done.stderr}"]
    if example.expected is None:
        return []
    return output_problems(example.expected, done.stdout)


def output_problems(expected: str, printed: str) -> list[str]:
    """What is wrong with the last documents that were printed."""
    wanted = parse_documents(expected)
    got = parse_documents(printed)[-len(wanted) :]
    return list(differences([_with_wildcards(w) for w in wanted], got, partial=True, at="output"))


async def run_python(example: Example, names: dict[str, Any]) -> None:
    """Run a Python block in a namespace. Raises what it raises."""
    code = compile(
        "\n" * example.line + example.text,
        "example",
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,  # the future imports of this module
    )
    outcome = eval(code, names)
    if inspect.isawaitable(outcome):
        await outcome


def parse_documents(text: str) -> list[Any]:
    """All JSON documents of a text, one after the other."""
    decoder = json.JSONDecoder()
    documents = []
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].lstrip()
    return documents


def _with_wildcards(value: Any) -> Any:
    if value == _ANYTHING:
        return {"$match": "any"}
    if isinstance(value, dict):
        return {name: _with_wildcards(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_wildcards(item) for item in value]
    return value
