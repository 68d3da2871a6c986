"""The key-value plugin with one feature more: the line that a new feature takes."""

from __future__ import annotations

from buntime_plugin_keyval.plugin import KeyValPlugin

from .feature import TALLY


class Plugin(KeyValPlugin):
    """Counts, too."""

    FEATURES = (*KeyValPlugin.FEATURES, TALLY)
