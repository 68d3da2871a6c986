"""The two kinds of a store that have one shape."""

from __future__ import annotations

from buntime_keyval import AsyncKv
from buntime_plugin_keyval.faces.local.kv import LocalKv

AnyKv = AsyncKv | LocalKv
