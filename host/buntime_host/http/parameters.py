"""Query parameters that a route does not know are refused, with a guess at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from starlette.requests import HTTPConnection

from buntime_host.errors import BadRequest

CODE = "INVALID_PARAMETER"
_SHOWN = 80
_CLOSE = 0.7
"""How alike two names have to be, from 0 to 1, before one is suggested for the other."""


def check_parameters(connection: HTTPConnection, known: Collection[str]) -> None:
    """Raise `BadRequest` for a query parameter that is unknown or repeated."""
    if not connection.scope["query_string"]:
        return
    seen: set[str] = set()
    for name, _ in connection.query_params.multi_items():
        if name not in known:
            raise BadRequest(unknown_parameter(name, known), code=CODE)
        if name in seen:
            raise BadRequest(f"{name} is given twice; it may be given once", code=CODE)
        seen.add(name)


def flag_of(connection: HTTPConnection, name: str) -> bool:
    """A query parameter that is `true` or `false`; absent it is false. Raises `BadRequest`."""
    return choice_of(connection, name, ("true", "false")) == "true"


def choice_of(connection: HTTPConnection, name: str, choices: Collection[str]) -> str | None:
    """A query parameter that is one of some texts, None if absent. Raises `BadRequest`."""
    text: str | None = connection.query_params.get(name)
    if text is not None and text not in choices:
        raise BadRequest(
            f"{name} must be {' or '.join(choices)}, received {text[:_SHOWN]!r}", code=CODE
        )
    return text


def unknown_parameter(name: str, known: Collection[str]) -> str:
    """The message about an unknown name: the known one that resembles it, or all of them."""
    plain = {_plain(one): one for one in known}
    close = difflib.get_close_matches(_plain(name[:_SHOWN]), plain, n=1, cutoff=_CLOSE)
    if close:
        hint = f"did you mean '{plain[close[0]]}'?"
    else:
        hint = f"known: {', '.join(known)}" if known else "none is known here"
    return f"Unknown parameter: '{name[:_SHOWN]}' ({hint})"


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
