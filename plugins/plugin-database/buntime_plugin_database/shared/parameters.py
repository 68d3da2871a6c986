"""The parameters of a statement, found in its text, and arguments in their order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from buntime_database import InvalidStatement, Value

# The same tokens as SQLite's, as far as needed to find parameters.
_TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?(?:\*/|\Z)
      | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
      | [^\W\d][\w$]* | (?P<name>[:@$](?:[\w$]|::)+(?:\([^\s)]*\))? | \?\d*) | .""",
    re.VERBOSE | re.DOTALL,
)


class InvalidArguments(InvalidStatement):
    """The arguments do not fit the parameters of the statement."""

    code = "ARGS_INVALID"


def bind(
    parameters: Sequence[str | None], args: Sequence[Value], named: Mapping[str, Value]
) -> tuple[Value, ...]:
    """Arguments in the order of the parameters.

    A name wins over a position and may leave out its prefix. Raises `InvalidArguments` unless
    every parameter has an argument and every argument a parameter.
    """
    if not named:
        if len(args) != len(parameters):
            raise InvalidArguments(
                f"the statement has {len(parameters)} parameters, and {len(args)} arguments came"
            )
        return tuple(args)
    if len(args) > len(parameters):
        raise InvalidArguments(
            f"the statement has {len(parameters)} parameters, and {len(args)} arguments came"
        )
    values: list[Value] = []
    used: set[str] = set()
    for index, parameter in enumerate(parameters):
        name = next((n for n in _spellings(parameter) if n in named), None)
        if name is not None:
            used.add(name)
            values.append(named[name])
        elif index < len(args):
            values.append(args[index])
        else:
            raise InvalidArguments(f"no argument for parameter {parameter or index + 1}")
    unknown = sorted(named.keys() - used)
    if unknown:
        raise InvalidArguments(f"the statement has no parameter {unknown[0]}")
    return tuple(values)


def parameters_of(sql: str) -> list[tuple[re.Match[str], int]]:
    """The places of parameters in one statement, and the index of each among the arguments,
    from 1.
    """
    found: list[tuple[re.Match[str], int]] = []
    places: dict[str, int] = {}
    last = 0
    for token in _TOKEN.finditer(sql):
        name = token["name"]
        if name is None:
            continue
        place = places.get(name)
        if place is None:
            # A number names its place; anything else takes the place after the highest so far.
            is_number = name[0] == "?" and len(name) > 1
            place = int(name[1:].lstrip("0")[:9] or 0) if is_number else last + 1
            if name != "?":
                places[name] = place
        last = max(last, place)
        found.append((token, place))
    return found


def _spellings(parameter: str | None) -> tuple[str, ...]:
    return () if parameter is None else (parameter, parameter[1:])
