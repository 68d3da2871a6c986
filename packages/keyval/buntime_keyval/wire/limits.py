"""Limits that server and client both enforce."""

MAX_KEY_PARTS = 20
"""Parts of a key."""

MAX_KEY_PART_LENGTH = 1024
"""Length of a key part: UTF-16 code units of a string, bytes of anything binary."""

MAX_KEYS_PER_BATCH = 1000
"""Keys in one batch request."""

DEFAULT_LIMIT = 100
"""Entries that a list or page holds when the request does not say."""

MAX_LIMIT = 1000
"""Entries that a list or page holds at the most; a larger limit is lowered to this."""

MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that every double-based client reads exactly; beyond it bigints are tagged."""

MAX_BIGINT_DIGITS = 10_000
"""Decimal digits of a bigint; what a conversion takes grows with their square."""

MAX_VALUE_DEPTH = 256
"""Nesting of arrays and objects in a value. SQLite's JSON functions stop at 1000."""

MOST_AROUND_VALUE = 4
"""Levels of a body around a value, at the most: `{"mutations": [{"onCreate": {"metadata": …`."""

MAX_VALUE_BYTES = 10 * 1024 * 1024
"""Size of one value as canonical JSON."""

MAX_METADATA_BYTES = 16 * 1024
"""Size of the metadata of one entry as canonical JSON."""

MAX_TIMESTAMP_MS = MAX_SAFE_INTEGER
"""Latest expiry that is stored; a longer life is as good as none."""

MAX_BACKOFF_STEPS = 1000
"""Retries that the schedule of a message may name."""

MOST_PRIORITY = 10
"""Priority of a message that goes first, and negative that of one that goes last."""

MOST_LOCK_WAIT_MS = 600_000
"""How long somebody may wait for a lock."""

MOST_STREAM_WAIT_MS = 60_000
"""How long a request may wait for the next record of the stream."""

MAX_ERROR_LENGTH = 10_000
"""Characters of what is said of a message, a record or a task that failed."""
