"""Handlers of failures that need no help."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("buntime_keyval")

ErrorHandler = Callable[[Exception], object]
"""Called with failures that are recovered from without help; may be a coroutine function."""
