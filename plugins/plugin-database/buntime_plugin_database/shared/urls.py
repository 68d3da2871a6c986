"""URLs as messages may have them."""

from __future__ import annotations

import os
import re


def shown(url: str) -> str:
    """A URL as an error may show it: without user and password, and without its query.

    Of one that has an @ elsewhere only the scheme: it may be in a password that is not quoted.
    """
    public = re.sub(r"(?<=://)[^/?#]*@", "", url)
    scheme, separator, rest = public.partition("://")
    return f"{scheme}://…" if separator and "@" in rest else public.partition("?")[0]


def is_path(text: str) -> bool:
    """Whether a text is meant as the path of a file, and not as a URL that is mistyped.

    As in a relative URL, a colon before the first slash begins something else, such as a port.
    """
    first = re.split(r"[/\\]", text, maxsplit=1)[0]
    is_drive = os.name == "nt" and len(first.partition(":")[0]) == 1
    return ":" not in first or is_drive
