"""The examples of the guide run, and print what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from buntime_plugin_proxy.rules.rule import SETTABLE
from support.examples import parse_documents, read_examples, run_shell
from support.live import LiveServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "proxy.md"


@pytest.mark.slow
def test_examples(proxy: LiveServer, target: str, tmp_path: Path) -> None:
    environ = {"HOST": proxy.url, "APP": target}
    examples = read_examples(PAGE)
    assert len(examples) == 3
    assert all(example.expected and parse_documents(example.expected) for example in examples)
    # They build on each other, by a variable.
    before = ""
    for example in examples:
        whole = example._replace(text=f"{before}{example.text}")
        problems = run_shell(whole, {**os.environ, **environ}, tmp_path)
        assert not problems, f"{example.line}: {problems}"
        before = before or "\n".join(example.text.splitlines()[:-1]) + "\n"


def test_every_field_of_a_rule_has_a_row() -> None:
    table = PAGE.read_text().partition("## Rules\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    assert named == {*SETTABLE, "id", "order", "readonly"}
