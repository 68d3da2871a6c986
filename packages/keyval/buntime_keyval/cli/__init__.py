"""Read, write and watch a key-value store.

That is `buntime kv ...`, or `python -m buntime_keyval.cli ...`.

Needs the extra `cli` of the package, which `buntime` brings along. Data goes to stdout, everything
else to stderr. Tables are for terminals; pipes get tab-separated lines, or JSON with `--json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buntime_keyval.cli.group import kv

__all__ = ["kv"]


def __getattr__(name: str) -> Any:
    # Late, so that `__main__` can say what is missing where the extra is not installed.
    if name == "kv":
        from buntime_keyval.cli.group import kv

        return kv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
