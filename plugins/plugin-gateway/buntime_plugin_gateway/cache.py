"""A cache of answers, in each process."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import msgspec
from buntime_host import Answer, BadRequest, DirectRequest, OptionError, Workers

from buntime_plugin_gateway.config import CacheConfig, listed
from buntime_plugin_gateway.paths import LONGEST_PATTERN, matcher

GENERATION = "gateway.cache"
LOOKUPS = "gateway.lookups"
_HITS, _MISSES = 0, 1
HIT: bytes = b"x-cache: HIT\r\n"
MISS: bytes = b"x-cache: MISS\r\n"
ENTRY_BYTES = 512
"""The memory of an entry apart from its texts."""
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-api-key"})
_OF_ONE_CLIENT = frozenset(
    {
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "WEBSOCKET"})
_AGE = re.compile(r"(s-maxage|max-age)\s*=\s*\"?(\d{1,9})\"?")


class CacheKey(NamedTuple):
    """What is equal in requests that get the same answer."""

    method: str
    path: bytes
    query: bytes
    host: bytes
    encoding: str
    varying: tuple[bytes, ...]

    def as_text(self) -> str:
        """The key as text for the API."""
        query = f"?{self.query.decode('latin-1')}" if self.query else ""
        return f"{self.method}:{self.path.decode('latin-1')}{query}"


class CachePlace(NamedTuple):
    """The place in the cache for the answer to a request."""

    key: CacheKey
    changes: int
    """The number of changes when the request came."""


class _Kept(NamedTuple):
    answer: Answer
    kept_at: float
    until: float
    size: int


class ResponseCache:
    """Answers by request; the least recently requested are forgotten first."""

    def __init__(
        self,
        config: CacheConfig,
        workers: Workers,
        never: Callable[[bytes], bool],
        seen_to: frozenset[str] = frozenset(),
    ) -> None:
        """Answers for paths in `never` are not kept; those that vary by `seen_to` headers may be.

        The gateway takes care of these headers itself. Raises `OptionError`.
        """
        self.config = config
        self._never = never
        methods = frozenset(method.upper() for method in listed(config.methods))
        if not methods or methods - {"GET", "HEAD"}:
            raise OptionError("cache.methods: may be GET and HEAD")
        self.methods = methods
        self._paths = matcher(listed(config.paths), "cache.paths")
        self._excludes = matcher(listed(config.exclude_paths), "cache.excludePaths")
        self._vary = tuple(name.lower() for name in listed(config.vary_by))
        self._known_vary = seen_to | {*self._vary}
        self._kept: OrderedDict[CacheKey, _Kept] = OrderedDict()
        self._by_path: dict[bytes, set[CacheKey]] = {}
        self.size = 0
        """About how many bytes the answers take."""
        self._changes = 0
        self._generation = workers.numbers(GENERATION, 1) if workers.count > 1 else None
        self._seen_generation = 0.0
        self._lookups = workers.numbers(LOOKUPS, 2)

    @property
    def entries(self) -> int:
        """The number of answers."""
        return len(self._kept)

    def lookups(self) -> tuple[int, int]:
        """The number of hits and misses of all workers."""
        totals = self._lookups.totals()
        return int(totals[_HITS]), int(totals[_MISSES])

    def place(self, request: DirectRequest, encoding: str) -> CachePlace | None:
        """The place for the answer to a request; None if it is only for this client."""
        path = request.whole_path
        if (
            request.method not in self.methods
            or request.is_refused
            or request.principal.id
            or (self._paths is not None and not self._paths(path))
            or (self._excludes is not None and self._excludes(path))
            or self._never(path)
        ):
            return None
        host = b""
        varying = dict.fromkeys(self._vary, b"")
        for name, value in request.headers:
            if name in _CREDENTIALS or name in _OF_ONE_CLIENT:
                return None
            if name == b"host":
                host = value
            elif name in (b"cache-control", b"pragma"):
                if b"no-cache" in value.lower() or b"no-store" in value.lower():
                    return None
            elif self._vary and (known := name.decode("latin-1")) in varying:
                varying[known] += value + b"\n"
        key = CacheKey(request.method, path, request.query, host, encoding, tuple(varying.values()))
        return CachePlace(key, self._changes)

    def find(self, place: CachePlace, now: float) -> Answer | None:
        """The answer at a place, with its age, or None."""
        self._hear_others()
        kept = self._kept.get(place.key)
        if kept is None or kept.until <= now:
            self._drop(place.key)
            self._lookups.own[_MISSES] += 1
            return None
        self._lookups.own[_HITS] += 1
        self._kept.move_to_end(place.key)
        age = b"age: %d\r\n" % (now - kept.kept_at)
        return msgspec.structs.replace(kept.answer, lines=kept.answer.lines + age + HIT)

    def keep(self, place: CachePlace, answer: Answer, now: float) -> None:
        """Keep an answer if that is allowed and nothing has changed since the request."""
        seconds = self._seconds(answer, place.key.encoding)
        if seconds <= 0 or place.changes != self._changes:
            return
        key = place.key
        size = ENTRY_BYTES + len(answer.body) + len(key.path) + len(key.query)
        if size > self.config.max_bytes:
            return
        self._drop(key)
        age = _age_of(answer)
        if age:  # another cache has kept it before: the age sent is the sum
            others = tuple(pair for pair in answer.headers if pair[0] != b"age")
            answer = msgspec.structs.replace(answer, headers=others)
        self._kept[key] = _Kept(answer, now - age, now + seconds, size)
        self._by_path.setdefault(key.path, set()).add(key)
        self.size += size
        while len(self._kept) > self.config.max_entries or self.size > self.config.max_bytes:
            self._drop(next(iter(self._kept)))

    def changed(self, method: str, path: bytes) -> None:
        """Forget answers for a path, since something was written to it."""
        if method in _SAFE:
            return
        self._changes += 1
        for key in [*self._by_path.get(path, ())]:
            self._drop(key)
        self._tell_others()

    def invalidate(self, key: str | None, pattern: str | None) -> int:
        """Forget one answer, those whose paths match a glob, or all; how many there were here.

        Raises `BadRequest`.
        """
        self._changes += 1
        if pattern is not None:
            if len(pattern) > LONGEST_PATTERN:
                raise BadRequest(f"pattern may have at most {LONGEST_PATTERN} characters")
            fits = matcher([_glob_only(pattern)], "pattern")
            found = [known for known in self._kept if fits is not None and fits(known.path)]
        elif key is not None:
            found = [known for known in self._kept if known.as_text() == key]
        else:
            found = [*self._kept]
        for known in found:
            self._drop(known)
        self._tell_others()
        return len(found)

    def _seconds(self, answer: Answer, encoding: str) -> float:
        """How long an answer may be kept for clients of an encoding; 0 for not at all."""
        if answer.status != 200:
            return 0.0
        seconds = float(self.config.ttl)
        said: dict[str, str] = {}
        expires: float | None = None
        for name, value in answer.headers:
            if name == b"set-cookie":
                return 0.0
            if name == b"content-encoding" and not self._is_for_all(value, encoding):
                return 0.0
            if name == b"expires":
                expires = _time_until(value)
            if name == b"vary":
                named = {part.strip() for part in value.decode("latin-1").lower().split(",")}
                if named - self._known_vary:
                    return 0.0
            elif name == b"cache-control":
                text = value.decode("latin-1").lower()
                if any(word in text for word in ("no-store", "no-cache", "private")):
                    return 0.0
                ages = dict(_AGE.findall(text))
                if not ages and ("max-age" in text or "s-maxage" in text):
                    return 0.0  # not a valid time
                said |= ages
        most = said.get("s-maxage", said.get("max-age"))
        if most is not None:
            return min(seconds, float(most) - _age_of(answer))
        return seconds if expires is None else min(seconds, expires)

    def _is_for_all(self, said: bytes, encoding: str) -> bool:
        """Whether all clients of `encoding` can read the encoding that a target has chosen."""
        return said.lower() == encoding.encode() or "accept-encoding" in self._vary

    def _drop(self, key: CacheKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self.size -= kept.size
        same = self._by_path[key.path]
        same.discard(key)
        if not same:
            del self._by_path[key.path]

    def _tell_others(self) -> None:
        """Have the other workers forget everything, since they are not told what changed."""
        if self._generation is not None:
            self._generation.own[0] += 1
            self._seen_generation += 1

    def _hear_others(self) -> None:
        if self._generation is None:
            return
        (generation,) = self._generation.totals()
        if generation != self._seen_generation:
            self._seen_generation = generation
            self._changes += 1
            self._kept.clear()
            self._by_path.clear()
            self.size = 0


def _age_of(answer: Answer) -> int:
    """How long other caches have had an answer, in seconds."""
    return max(
        (int(value) for name, value in answer.headers if name == b"age" and value.isdigit()),
        default=0,
    )


def _time_until(expires: bytes) -> float:
    """Seconds until the date of an `Expires`; an invalid one, such as 0, has passed."""
    try:
        return parsedate_to_datetime(expires.decode("latin-1")).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


def _glob_only(pattern: str) -> str:
    """A pattern of the API, which may be a glob only, not a regular expression."""
    if pattern.startswith(("re:", "^")):
        raise BadRequest("pattern must be a glob of the whole path, such as /site/**")
    return pattern
