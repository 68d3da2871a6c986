"""Notes of the dispatcher about uncommon headers of a request.

It looks at each header once anyway. It notes uncommon ones in the scope, so that a plugin need not
look again; a common request has no notes and pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import msgspec

from buntime_host.errors import Forbidden

_MEMBER = "buntime.noticed"


class Noticed(msgspec.Struct, gc=False):
    """Uncommon facts about a request."""

    unasked_body: bool = False
    """It has a body though its method, such as GET, asks for none."""
    precondition: str | None = None
    """`If-Match` or `If-None-Match`, if it has such a header."""
    idempotency_keys: tuple[bytes, ...] = ()
    """The values of its `Idempotency-Key` headers: at most one from a careful sender."""
    foreign: bool = False
    """A page of an origin that is not trusted sent it, with a safe method such as GET.

    The host refuses those with other methods by itself.
    """
    broken_off: bool = False
    """Its answer has begun and will not be completed; the log says why."""


NOTHING = Noticed()
"""The notes of a common request."""


def noticed_of(scope: Mapping[str, Any]) -> Noticed:
    """The notes about the request with this scope; not to be changed."""
    noticed: Noticed = scope.get(_MEMBER, NOTHING)
    return noticed


def notice(scope: MutableMapping[str, Any]) -> Noticed:
    """The notes about the request, to be added to."""
    noticed: Noticed = scope.setdefault(_MEMBER, Noticed())
    return noticed


def refuse_foreign(scope: MutableMapping[str, Any]) -> None:
    """For a GET that changes something: raise `Forbidden` if a page elsewhere sent it.

    The host does that by itself for POST and the like.
    """
    if noticed_of(scope).foreign:
        raise Forbidden(code="ORIGIN_NOT_ALLOWED")
