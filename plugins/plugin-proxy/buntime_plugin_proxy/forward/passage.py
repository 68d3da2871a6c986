"""What is known of a request before it is passed on."""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_host.access.principal import Life

from buntime_plugin_proxy.rules.table import RuleMatch


class Passage(NamedTuple):
    """A request on its way to a target."""

    match: RuleMatch
    hops: int
    """Proxies of this kind that it has come through."""
    is_known: bool
    """Whether the host has recognised its sender: then the credential is not for the target."""
    life: Life
    """Of that credential: what was begun with it ends with it."""
    root: str = ""
    """What is before all paths of the host for who asks."""
    scope: Any = None
    """The request itself, by whose name for this host an answer may say where something is."""
