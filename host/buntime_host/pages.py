"""The pages of the host: `/` with the links of all plugins, and what pages of plugins share.

The files lie in `ui/`, as browsers get them. A page may load nothing but files of this host and
run no script that stands within its HTML, so that no text of a user ever becomes code.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from buntime_host.errors import NotFound

FOLDER = Path(__file__).parent / "ui"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""What a browser may do for a page: talk to this host, and run scripts that are files of it."""

HOST_PAGES = "pages/"
"""Below the shared files: the pages of those who run the host; their script knows which."""

LINKS = "<!-- links -->"
"""Where the page has the links of the plugins."""


def make_strict(headers: MutableHeaders) -> None:
    """Add what keeps a page to this host, and fresh: a browser asks whether it has changed."""
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cache-Control"] = "no-cache"


class SharedFiles:
    """The stylesheet and the modules that all pages share."""

    def __init__(self) -> None:
        self._files = StaticFiles(directory=FOLDER, check_dir=False)

    async def get(self, name: str, scope: Scope) -> Response:
        """The file of this name, or a page of the host. Raises `NotFound`."""
        if name.startswith(HOST_PAGES):
            name = "admin.html"
        elif not name.endswith((".js", ".css")):
            raise NotFound
        try:
            response = await self._files.get_response(name, scope)
        except HTTPException as error:
            raise NotFound from error
        make_strict(response.headers)
        return response


def base_from(path: str) -> str:
    """The way from a page at this path, below the base of its plugin, to that base."""
    return "../" * (path.count("/") - 1) or "./"


async def home_page(menus: Iterable[Mapping[str, Any]]) -> Response:
    """The page at `/`: a list of links, of which its script makes more."""
    text = await anyio.to_thread.run_sync((FOLDER / "index.html").read_text, "utf-8")
    text = text.replace(LINKS, _links(menus), 1)
    response = Response(text, media_type="text/html")
    make_strict(response.headers)
    return response


def _links(menus: Iterable[Mapping[str, Any]]) -> str:
    items = "".join(
        f"<li>{_link(menu)}{_links(menu['items']) if menu.get('items') else ''}</li>"
        for menu in menus
    )
    return f"<ul>{items}</ul>" if items else ""


def _link(menu: Mapping[str, Any]) -> str:
    title = html.escape(menu["title"])
    path = menu.get("path")
    # Only paths of this host: a link to anything else would lead out of the pages.
    if not isinstance(path, str) or not path.startswith("/") or path.startswith("//"):
        return title
    path = path[1:]
    if path and "/" not in path:
        path += "/"  # the base of a plugin: it would be sent there
    return f'<a href="{html.escape(path)}">{title}</a>'
