"""URLs as messages may have them."""

from __future__ import annotations

import re


def shown(url: str) -> str:
    """A URL as an error may show it: without user and password, and without its query."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url).partition("?")[0]
