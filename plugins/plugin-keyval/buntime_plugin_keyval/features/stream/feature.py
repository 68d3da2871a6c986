"""The stream: the change log, for whoever reacts to changes in their order."""

from __future__ import annotations

from buntime_plugin_keyval.features.feature import Feature
from buntime_plugin_keyval.features.stream import http
from buntime_plugin_keyval.features.stream.part import StreamPart

STREAM = Feature("stream", StreamPart, routes=http.ROUTES)
