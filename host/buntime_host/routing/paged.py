"""Applications with a page beside them, and which of the two a request is for."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

ANY_ROUTE = "/*"
"""The route of requests whose application does not tell it."""


class Paged:
    """An application of ours that serves the page of its plugin."""

    page: ASGIApp | None


async def redirected(scope: Scope, receive: Receive, send: Send) -> bool:
    """Redirect GET of the bare base to `base/`, where relative links work; others go to `base/`."""
    if scope["path"] != scope["root_path"]:
        return False
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
        from starlette.responses import RedirectResponse

        query = scope.get("query_string", b"").decode("latin-1")
        target = f"{scope['root_path']}/{f'?{query}' if query else ''}"
        await RedirectResponse(target, status_code=308)(scope, receive, send)
        return True
    scope["path"] += "/"
    return False


def is_api(scope: Scope) -> bool:
    """Whether a request is for the API of a plugin, rather than for its page."""
    path: str = scope["path"][len(scope["root_path"]) :]
    return path == "/api" or path.startswith("/api/")
