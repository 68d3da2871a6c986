"""JSON with comments and trailing commas, and `${VAR}` within its strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import json5

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]+)\}")


class JsoncError(ValueError):
    """The text is not JSON, also not with comments; the message says where."""


def parse_jsonc(text: str) -> Any:
    """Parse `text`, which may start with a BOM. Nothing but comments is None.

    Raises `JsoncError`, also for a key that occurs twice in one object: the first of the two would
    silently mean nothing.
    """
    text = text.removeprefix("\ufeff")
    try:
        return json5.loads(text, allow_duplicate_keys=False)
    except RecursionError:
        raise JsoncError("nested too deeply") from None
    except ValueError as error:
        if _only_comments(text):
            return None
        raise JsoncError(_readable(str(error))) from None


def _only_comments(text: str) -> bool:
    try:
        return bool(json5.loads(f"[{text}\n]") == [])
    except ValueError:
        return False


def _readable(message: str) -> str:
    return re.sub(r"^<string>:(\d+) (.*) at column (\d+)$", r"line \1, column \3: \2", message)


def expand(
    value: Any, environ: Mapping[str, str], warn: Callable[[str], None], path: str = ""
) -> Any:
    """Replace `${VAR}` and `${VAR:-default}` in every string of `value`; keys stay as they are.

    `$${` is a literal `${`. An unset variable without default becomes the empty string, and `warn`
    gets a sentence with key path and variable. Results are not expanded again.
    """
    if isinstance(value, str):
        return _expand_text(value, environ, warn, path) if "${" in value else value
    if isinstance(value, list):
        return [expand(item, environ, warn, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            key: expand(item, environ, warn, f"{path}.{key}" if path else str(key))
            for key, item in value.items()
        }
    return value


def _expand_text(
    text: str, environ: Mapping[str, str], warn: Callable[[str], None], path: str
) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        name, has_default, default = match[1].partition(":-")
        value = environ.get(name)
        if value is None and not has_default:
            warn(f"{path}: environment variable {name} is not set, using an empty string")
        return value or default

    return _VARIABLE.sub(replacement, text)
