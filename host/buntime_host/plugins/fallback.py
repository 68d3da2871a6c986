"""The hook `fallback()`: a plugin that serves paths below no plugin's base."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def _nothing_is_public(_: str, __: bytes) -> bool:
    return False


class Fallback(NamedTuple):
    """An application for all paths that no base begins, and which of them need no credential."""

    app: ASGIApp
    """Gets whole paths, and bodies as they were sent, compressed ones too, up to the `maxBodySize`
    of its plugin. Raises `NotFound` for paths that it does not serve. It asks for permissions
    itself, as a plugin with `permissions()` does."""
    is_public: Callable[[str, bytes], bool] = _nothing_is_public
    """Whether requests with a method (`WEBSOCKET` for handshakes) and a path as it was sent need no
    credential."""

    def has(self, method: str, raw_path: bytes) -> bool:
        """The same, in the form of `PublicRoutes`."""
        return self.is_public(method, raw_path)
