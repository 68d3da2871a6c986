"""The pages of the host: `/` with links to all plugins, and the files that pages of plugins share.

A page is a module; the frame around it is the same for all, those of plugins too. The files lie in
`ui/`, as browsers get them. A page may load nothing but files of this host and run no script that
stands within its HTML, so that no text of a user ever becomes code.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from posixpath import normpath
from string import Template
from typing import Any

import anyio.to_thread
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from buntime_host.errors import NotFound
from buntime_host.pages.modules import modules_of

FOLDER = Path(__file__).parent / "ui"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""The policy of a page: it may talk to this host, and run scripts that are files of it."""

SHARED = ".well-known/buntime/ui/"
"""The path of the shared files, from the page at `/`."""

HOST_PAGES = "pages/"
"""The administrator's pages, below the shared files: their script knows which there are."""

_HOME, _ADMIN = FOLDER / "home.js", FOLDER / "admin.js"
_PAGE = Template((FOLDER / "page.html").read_text("utf-8"))


def make_strict(headers: MutableHeaders) -> None:
    """Add headers that keep a page to this host, and fresh: a browser asks whether it has
    changed.
    """
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cache-Control"] = "no-cache"


def _first_modules(entry: Path, view: str) -> Iterable[str]:
    """The modules of a page before it has its view, relative to the folder of its script."""
    found = dict.fromkeys(imported_by(entry))
    if view in _views(entry):
        beside = entry.with_name(f"{view}.js")
        found |= dict.fromkeys([beside.name, *imported_by(beside)])
    return found


@cache
def _views(entry: Path) -> frozenset[str]:
    """The names of the modules beside the one of a page."""
    return frozenset(path.stem for path in entry.parent.glob("*.js") if path != entry)


@cache
def imported_by(entry: Path) -> tuple[str, ...]:
    """The modules that a page imports, relative to the folder of its script."""

    def find(path: str) -> Path | None:
        shared = path.removeprefix(f"../{SHARED}")
        if shared != path:
            return FOLDER / shared
        return None if path.startswith("../") else entry.parent / path

    return tuple(modules_of(entry.name, find))


def page_of_module(
    entry: Path,
    *,
    title: str,
    view: str = "",
    base: str = "./",
    above: str = "",
    shared: str = f"../{SHARED}",
    content: str = "",
    without: str = "This page needs scripts.",
) -> str:
    """The page around a module. A browser gets it at once with everything that the module imports,
    and with the module beside it that has the name of the view, if there is one (`overview` for the
    first).

    The folder of the module is at `above`, and the shared files at `shared`, both from `base`.
    `content` is HTML, and `without` is shown where no script runs.
    """
    preloads = (
        f'<link rel="modulepreload" href="{html.escape(normpath(above + path))}">\n'
        for path in _first_modules(entry, view)
    )
    return _PAGE.substitute(
        base=html.escape(base),
        title=html.escape(title),
        style=f"{shared}ui.css",
        script=html.escape(above + entry.name),
        preloads="".join(preloads),
        content=content,
        without=html.escape(without),
    )


class SharedFiles:
    """The stylesheet and the modules that all pages share."""

    def __init__(self) -> None:
        self._files = StaticFiles(directory=FOLDER, check_dir=False)

    async def get(self, name: str, scope: Scope) -> Response:
        """The file with this name, or a page of the host. Raises `NotFound`."""
        if name.startswith(HOST_PAGES):
            return await _strict_page(
                partial(page_of_module, _ADMIN, title="Buntime", above="../", shared="../")
            )
        if not name.endswith((".js", ".css")):
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
    """The page at `/`: a list of links, to which its script adds."""
    return await _strict_page(
        partial(
            page_of_module,
            _HOME,
            title="Buntime",
            above=SHARED,
            shared=SHARED,
            content=f'<nav aria-label="Plugins">{_links(menus)}</nav>\n',
            without="These are the pages of the plugins. They need scripts.",
        )
    )


async def _strict_page(make: Callable[[], str]) -> Response:
    response = Response(await anyio.to_thread.run_sync(make), media_type="text/html")
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
