"""Schedules: tasks that are started at set times, once across all hosts of a store."""
