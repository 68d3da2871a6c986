"""Schedules: tasks that are started at set times, once across all hosts of a store."""

from buntime_plugin_keyval.features.feature import Feature
from buntime_plugin_keyval.features.schedules import http
from buntime_plugin_keyval.features.schedules.part import SchedulePart

SCHEDULES = Feature("schedules", SchedulePart, routes=http.ROUTES)
