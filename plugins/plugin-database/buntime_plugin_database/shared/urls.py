"""URLs as messages may have them."""

from __future__ import annotations

import re


def shown(url: str) -> str:
    """A URL as an error may show it: without user and password, and without its query.

    Of one that has an @ elsewhere only the scheme: it may be in a password that is not quoted.
    """
    public = re.sub(r"(?<=://)[^/?#]*@", "", url)
    scheme, separator, rest = public.partition("://")
    return f"{scheme}://…" if separator and "@" in rest else public.partition("?")[0]
