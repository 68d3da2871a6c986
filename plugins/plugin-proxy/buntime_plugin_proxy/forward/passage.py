"""The known facts about a request before it is passed on."""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_host.access.principal import Life

from buntime_plugin_proxy.rules.table import RuleMatch


class Passage(NamedTuple):
    """A request on its way to a target."""

    match: RuleMatch
    hops: int
    """The number of proxies of this kind that it has passed."""
    is_known: bool
    """Whether the host has recognised the sender: the target then does not get the credential."""
    life: Life
    """The life of that credential: requests that it began end with it."""
    root: str = ""
    """The prefix of all paths of the host for the client."""
    scope: Any = None
    """The request itself, with the name of this host that addresses in an answer may have."""
