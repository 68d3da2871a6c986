"""Failures that need nobody's help: whom they are told."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("buntime_keyval")

ErrorHandler = Callable[[Exception], object]
"""Told of failures that are recovered from without help; may be a coroutine function."""
