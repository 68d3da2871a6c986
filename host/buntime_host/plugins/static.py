"""A plugin's page: the files beside its `entrypoint`, and the page itself for its own links.

An entrypoint that is a module gets a page around it like those of the host.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio.to_thread
import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from buntime_host.errors import InvalidPlugin, MethodNotAllowed, NotFound
from buntime_host.pages.shared import base_from, make_strict, page_of_module
from buntime_host.plugins.manifest import Manifest

_HEAD = re.compile(r"<head(\s[^>]*)?>", re.IGNORECASE)
_HEAD_END = re.compile(r"</head\s*>", re.IGNORECASE)


def page_of(manifest: Manifest) -> PluginPage | None:
    """The page that a manifest names, or None. Raises `InvalidPlugin` if it is not there."""
    if manifest.entrypoint is None:
        return None
    suffix = Path(manifest.entrypoint).suffix.lower()
    if suffix not in (".html", ".htm", ".js"):
        raise InvalidPlugin(
            f"entrypoint {manifest.entrypoint} is neither an .html file nor a .js module, and"
            " workers are not supported"
        )
    file = (manifest.dir / manifest.entrypoint).resolve()
    if not file.is_relative_to(manifest.dir.resolve()) or not file.is_file():
        raise InvalidPlugin(f"entrypoint {manifest.entrypoint} is not a file of the plugin")
    exposed = {
        name: value
        for name, value in manifest.env.items()
        if name.startswith(manifest.env_prefix) and manifest.env_prefix
    }
    if exposed and (manifest.strict_page or suffix == ".js"):
        raise InvalidPlugin("strictPage permits no script within the page, so it can have no env")
    if suffix == ".js":
        title = str(manifest.menus[0]["title"]) if manifest.menus else manifest.name
        return PluginPage(file, title=title, inject_base=True, is_strict=True)
    return PluginPage(
        file, env=exposed, inject_base=manifest.inject_base, is_strict=manifest.strict_page
    )


class PluginPage(StaticFiles):
    """Files of one folder; unknown paths return the page, if the client asks for HTML."""

    def __init__(
        self,
        file: Path,
        *,
        env: Mapping[str, str] = {},
        title: str | None = None,
        inject_base: bool,
        is_strict: bool,
    ) -> None:
        """The page is `file`, or the page around it with this title if it is a module."""
        super().__init__(directory=file.parent)
        self._file = file
        self._env = dict(env)
        self._title = title
        self._inject_base = inject_base
        self._is_strict = is_strict

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at `path`, or the page. Raises `NotFound` and `MethodNotAllowed`."""
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if "text/html" not in Headers(scope=scope).get("accept", "") and path != ".":
                raise NotFound from error
            response = await self._page(scope)
        else:
            if self._title is None and self._file.parent / path == self._file:
                response = await self._page(scope)
        response.headers["X-Content-Type-Options"] = "nosniff"
        if response.headers.get("content-type", "").startswith("text/html"):
            response.headers["Cache-Control"] = "no-cache"
        if self._is_strict:
            make_strict(response.headers)
        return response

    async def _page(self, scope: Scope) -> Response:
        below = scope["path"][len(scope["root_path"]) :]
        # Relative: a proxy may have removed the beginning of the path.
        base = base_from(below) if self._is_strict else f"{scope['root_path']}/"
        if self._title is not None:
            title, view = f"{self._title} · Buntime", below.rpartition("/")[2] or "overview"
            make = partial(page_of_module, self._file, title=title, view=view, base=base)
            return Response(await anyio.to_thread.run_sync(make), media_type="text/html")
        if not self._inject_base and not self._env:
            stat = await anyio.to_thread.run_sync(self._file.stat)
            return self.file_response(self._file, stat, scope)
        text = await anyio.to_thread.run_sync(self._file.read_text, "utf-8")
        if self._inject_base:
            tag = f'<base href="{html.escape(base)}">'
            text = _HEAD.sub(lambda match: match[0] + tag, text, count=1)
        if self._env:
            # "<" would end the script element wherever it stood in a value.
            values = msgspec.json.encode(self._env).decode().replace("<", "\\u003c")
            tag = f"<script>window.__env__={values}</script>"
            text = _HEAD_END.sub(lambda match: tag + match[0], text, count=1)
        return Response(text, media_type="text/html")
