"""Full-text search: indexes of the entries below prefixes, and searches in them."""

from buntime_plugin_keyval.features.feature import Feature, Measure
from buntime_plugin_keyval.features.search import http
from buntime_plugin_keyval.features.search.search import Search

SEARCH = Feature(
    "search",
    lambda ground: Search(ground.store),
    routes=http.ROUTES,
    stored_measures=(
        Measure("indexes", "Full-text indexes", "indexes.total"),
        Measure("indexes_unfinished", "Full-text indexes being built", "indexes.unfinished"),
    ),
)
