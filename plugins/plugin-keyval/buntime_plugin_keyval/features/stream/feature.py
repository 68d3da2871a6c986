"""The stream: the change log, for clients that process changes in order."""

from buntime_plugin_keyval.features.feature import Feature
from buntime_plugin_keyval.features.stream import http
from buntime_plugin_keyval.features.stream.part import StreamPart

STREAM = Feature("stream", StreamPart, routes=http.ROUTES)
