"""The change log, for parts that follow it."""

from buntime_plugin_keyval.features.feature import Feature
from buntime_plugin_keyval.features.log.part import LogPart

LOG = Feature("log", LogPart)
