"""Upkeep: brings data of older versions up to date, a little at a time."""

from buntime_plugin_keyval.features.feature import Feature
from buntime_plugin_keyval.features.upkeep.mover import Mover

UPKEEP = Feature("upkeep", lambda ground: Mover(ground.store))
