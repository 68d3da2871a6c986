"""Field paths as SQLite's JSON functions read them."""

from __future__ import annotations

import re

import msgspec

from buntime_plugin_keyval.model.where.nodes import Path

_BARE = re.compile(r'[^."\[\\][^.\[\\]*')


def json_path(path: Path) -> str:
    """The path with each name quoted as a JSON string.

    A name with a double quote in it stands bare where it can: older SQLite versions (3.45 is one)
    take that quote for the end of the name, escaped or not.
    """
    steps = ["$"]
    for step in path:
        if isinstance(step, str):
            is_bare = '"' in step and _BARE.fullmatch(step) is not None
            steps.append("." + (step if is_bare else msgspec.json.encode(step).decode()))
        else:
            steps.append(f"[{step}]" if step >= 0 else f"[#{step}]")
    return "".join(steps)
