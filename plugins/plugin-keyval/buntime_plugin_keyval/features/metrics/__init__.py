"""Measuring the plugin: counters and latencies, gauges, their persistence and their formats."""
