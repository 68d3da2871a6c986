"""What a request may cost at the most; each limit has an option of its name."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The section `limits` of the options."""

    mutations: int = 10_000
    """Mutations and checks of one commit, together."""
    commit_bytes: int = 32 * 1024 * 1024
    """Bytes of the values that one commit reads, and of those that it writes."""
    conditions: int = 1000
    """Conditions of a filter; 1000 are the most."""
    stamps: int = 50_000
    """Versionstamps that the poll of a prefix names."""
    request_bytes: int = 2 * 1024 * 1024
    """Size of a JSON body that holds no values."""
    request_ms: int = 10_000
    """How long a request may read that may look at any number of entries."""
    answer_bytes: int = 16 * 1024 * 1024
    """Size of one answer. Pages and events end before it, other answers are refused."""
    indexes: int = 64
    """Full-text indexes; each write below their prefixes keeps them."""


LEAST_ANSWER_BYTES = 12 * 1024 * 1024
"""So much an answer may always have: any one entry fits, with its key and its metadata."""

DEFAULT_LIMITS = Limits()
