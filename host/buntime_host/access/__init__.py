"""Access control: who gets in, and what they may do.

Nothing in here depends on a server. `permissions.py` says what can be permitted, `grants.py`
compiles a caller's permissions into `spans.py`, and `principal.py` is the caller.
"""

from __future__ import annotations

from buntime_host.access.grants import NOTHING, UNLIMITED, Grant, compile_grant
from buntime_host.access.permissions import (
    HOST_PERMISSIONS,
    ROLES,
    Action,
    Actions,
    CheckLimits,
    Permissible,
    short_name,
    text_prefix,
)
from buntime_host.access.principal import EVERYONE, Life, Principal, denied, principal_of
from buntime_host.access.spans import Spans

__all__ = [
    "EVERYONE",
    "HOST_PERMISSIONS",
    "NOTHING",
    "ROLES",
    "UNLIMITED",
    "Action",
    "Actions",
    "CheckLimits",
    "Grant",
    "Life",
    "Permissible",
    "Principal",
    "Spans",
    "compile_grant",
    "denied",
    "principal_of",
    "short_name",
    "text_prefix",
]
