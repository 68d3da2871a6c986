"""Rewriting pages: adding a base for their links, and making links relative to it.

Tags are found in any encoding in which they are ASCII. Scripts and texts are left as they are.
"""

from __future__ import annotations

import html
import re
import zlib

from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.upstream.known_heads import Headers

_PAGES = (b"text/html", b"application/xhtml+xml")
_ENCODINGS = (b"identity", b"gzip", b"deflate")
_WIDE = ("utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be")
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# A tag that is not closed ends at the next one, without backtracking: otherwise a page with many
# of them would take for ever.
_INSIDE = r"(?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+"
_HEAD = re.compile(rf"<head(?=[\s>/]){_INSIDE}>", re.IGNORECASE)
# Comments, and the contents of elements without markup, are skipped as a whole.
_OPAQUE_OR_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|(?P<raw><(script|style|textarea|title)(?=[\s>/]){_INSIDE}>)"
    r".*?(?:</\2(?=[\s>/])|\Z)"
    rf"|(?P<tag><[a-z]{_INSIDE}>)",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"(\s(?:src|href)\s*=\s*)(?:\"/(?!/)([^\"]*)\"|'/(?!/)([^']*)'|/(?!/)([^\s>]*))", re.IGNORECASE
)
_NOT_OF_A_CHANGED_PAGE = frozenset(
    {
        b"accept-ranges",
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"digest",
        b"repr-digest",
    }
)


def is_page(status: int, headers: Headers, method: str) -> bool:
    """Whether an answer is a whole page in an encoding that can be read."""
    return method != "HEAD" and status not in (204, 206, 304) and _is_readable(headers)


def is_part_of_page(status: int, headers: Headers) -> bool:
    """Whether an answer is a part of a page, which cannot be rewritten."""
    return status == 206 and _is_readable(headers)


def stands_for_page(status: int, headers: Headers, method: str) -> bool:
    """Whether an answer without content has the headers of such a page."""
    if status == 304:  # its type may be missing
        return all(name != b"content-type" for name, _ in headers) or _is_readable(headers)
    return method == "HEAD" and status not in (204, 206) and _is_readable(headers)


def _is_readable(headers: Headers) -> bool:
    types = [value for name, value in headers if name == b"content-type"]
    encodings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    kind = types[0].partition(b";")[0].strip().lower() if types else b""
    if kind not in _PAGES:
        return False
    return not encodings or (len(encodings) == 1 and encodings[0] in _ENCODINGS)


def plain(data: bytes, headers: Headers, most: int) -> bytes | None:
    """A page, decompressed; None if it cannot be read or is too large."""
    encoding = next((value.lower() for name, value in headers if name == b"content-encoding"), b"")
    if encoding.strip() in (b"", b"identity"):
        return data
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = inflater.decompress(data, most)
    except zlib.error:
        return None
    # Bytes behind the end may be a further part, without which the page would be cut.
    whole = inflater.eof and not inflater.unconsumed_tail and not inflater.unused_data
    return found if whole else None


def changed_headers(headers: Headers, length: int | None = None) -> Headers:
    """The headers of a rewritten page; without a length for one that is not sent."""
    kept = [pair for pair in headers if pair[0] not in _NOT_OF_A_CHANGED_PAGE]
    kept = [
        (name, b"W/" + value) if name == b"etag" and not value.startswith(b"W/") else (name, value)
        for name, value in kept
    ]
    return kept if length is None else [*kept, (b"content-length", b"%d" % length)]


def rewritten(page: bytes, headers: Headers, rule: Rule) -> bytes | None:
    """A page with a rule's additions; None if its encoding is unknown."""
    said = next((value for name, value in headers if name == b"content-type"), b"")
    found = _CHARSET.search(said)
    charset = found[1].decode("latin-1").lower() if found else _mark(page)
    # One character for each byte: any encoding with tags in ASCII comes back unchanged.
    codec = charset if charset in _WIDE else "latin-1"
    try:
        text = page.decode(codec)
    except UnicodeDecodeError:
        return None
    if rule.relative_paths:
        text = _OPAQUE_OR_TAG.sub(_relative, text)
    if rule.base is not None:
        text = _with_base(text, rule.base)
    return text.encode(codec)


def _mark(page: bytes) -> str:
    """The wide encoding that a page's byte order mark tells; empty for others."""
    return "utf-16" if page[:2] in (b"\xff\xfe", b"\xfe\xff") else ""


def _relative(found: re.Match[str]) -> str:
    tag = found["tag"] or found["raw"]
    if tag is None:
        return found[0]
    made: str = _ATTRIBUTE.sub(_relative_attribute, tag)
    return made + found[0][len(tag) :]


def _relative_attribute(found: re.Match[str]) -> str:
    if found[2] is not None:
        return f'{found[1]}"./{found[2]}"'
    if found[3] is not None:
        return f"{found[1]}'./{found[3]}'"
    return f"{found[1]}./{found[4]}"


def _with_base(text: str, base: str) -> str:
    tag = f'<base href="{html.escape(base.rstrip("/"), quote=True)}/">'
    for found in _OPAQUE_OR_TAG.finditer(text):
        if found["tag"] is not None and _HEAD.fullmatch(found["tag"]):
            return text[: found.end()] + tag + text[found.end() :]
    return text
