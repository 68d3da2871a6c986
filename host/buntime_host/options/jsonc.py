"""JSON with comments and trailing commas, and `${VAR}` within its strings.

Comments and trailing commas become blanks, so that lines and columns stay what they are, and the
rest is JSON, read by the standard library, without further quotes, escapes or numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_DEPTH = 64
"""Most levels of arrays and objects; no configuration comes near."""

# Each alternative matches to the end of the text where its own end is missing, so that no
# character is looked at twice.
_STRING = r'"(?:[^"\\\n]|\\.)*+"?'
_COMMENTS = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_COMMAS = re.compile(rf"{_STRING}|[\[{{]\s*+,|,(?=\s*+[}}\]])", re.DOTALL)
_BRACKETS = re.compile(rf"{_STRING}|[\[{{}}\]]", re.DOTALL)
_SURROGATES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F])|.)", re.DOTALL
)
_NUMBERS = re.compile(rf"{_STRING}|-?(?:NaN|Infinity)\b|-?\d[\d.eE+-]*+", re.DOTALL)
_NO_BLANK = re.compile(r"[^\n]")
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*+)(\}|\Z)")


class JsoncError(ValueError):
    """The text is not JSON, even with comments; the message says where."""


def parse_jsonc(text: str) -> Any:
    """Parse `text`, which may start with a BOM. Nothing but comments is None.

    Raises `JsoncError`, also for a key that occurs twice in one object: the first of the two would
    silently mean nothing.
    """
    text = as_plain_json(text.removeprefix("\ufeff"))
    if not text.strip():
        return None
    _refuse_depth(text)
    _refuse_half_characters(text)
    _refuse_what_is_no_number(text)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _error(text, error.pos, error.msg) from None


def as_plain_json(text: str) -> str:
    """The text with blanks for comments and trailing commas: all else stays in its place."""
    text = _COMMENTS.sub(_blank_comment, text)
    return _COMMAS.sub(lambda token: " " if token[0] == "," else token[0], text)


def _blank_comment(token: re.Match[str]) -> str:
    found = token[0]
    if found.startswith("//") or (found.startswith("/*") and found.endswith("*/", 2)):
        return _NO_BLANK.sub(" ", found)
    return found  # a string; or a comment without an end, which JSON has not


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _error(text, token.start(), f"nested too deeply (max {MAX_DEPTH} levels)")
        elif token[0] in "]}":
            depth -= 1


def _refuse_half_characters(text: str) -> None:
    for escape in _SURROGATES.finditer(text):
        if escape[1] is not None:
            raise _error(text, escape.start(), "half of a surrogate pair is not a character")


def _refuse_what_is_no_number(text: str) -> None:
    """Refuse the words that Python's reader takes for numbers, and numbers too large for a
    double.
    """
    for token in _NUMBERS.finditer(text):
        found = token[0]
        if found[0] == '"':
            continue
        if found[-1] in "Ny":
            raise _error(text, token.start(), f"{found} is not a JSON value")
        try:
            number = float(found)
        except ValueError:
            continue  # it is no number at all, which the reader reports
        if not math.isfinite(number):
            raise _error(text, token.start(), f"the number {found:.20} is too large")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise JsoncError(f"the key {json.dumps(name)} occurs twice in one object")
            seen.add(name)
    return members


def _error(text: str, at: int, reason: str) -> JsoncError:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return JsoncError(f"line {line}, column {column}: {reason}")


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
        if not match[1] or not match[2]:
            return match[0]  # nothing is named, or nothing ends the name
        name, has_default, default = match[1].partition(":-")
        value = environ.get(name)
        if value is None and not has_default:
            warn(f"{path}: environment variable {name} is not set, using an empty string")
        return value or default

    return _VARIABLE.sub(replacement, text)
