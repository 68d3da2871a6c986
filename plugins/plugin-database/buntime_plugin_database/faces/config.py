"""The options of the HTTP API and of Hrana."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from buntime_database import SessionLimits
from buntime_host.units import parse_duration, parse_size

from buntime_plugin_database.shared.engine import ConfigError


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The option `api`."""

    write: bool = False
    """Without a token, let programs on this machine write."""
    max_rows: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Rows of one answer of the JSON API."""
    max_response_size: int | str = "10mb"
    statement_timeout: int | float | str = "5s"
    transaction_timeout: int | float | str = "5s"
    idle_timeout: int | float | str = "10s"
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=256)] = 128

    def session_limits(self) -> SessionLimits:
        """Limits of one connection. Raises `ValueError` for text that is no size or duration."""
        return SessionLimits(
            statement_seconds=parse_duration(self.statement_timeout),
            transaction_seconds=parse_duration(self.transaction_timeout),
            max_bytes=parse_size(self.max_response_size),
        )

    def idle_seconds(self) -> float:
        """`idle_timeout`. Raises `ValueError` for text that is no duration."""
        return parse_duration(self.idle_timeout)


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All options that concern requests from outside."""

    tokens: tuple[str, ...]
    api: ApiConfig


def parse_http_config(options: Mapping[str, Any]) -> HttpConfig:
    """Check the options. Blank tokens count as none. Raises `ConfigError`."""
    try:
        api = msgspec.convert(options.get("api") or {}, ApiConfig)
        token = msgspec.convert(options.get("token"), str | None)
        keys = msgspec.convert(options.get("apiKeys") or [], tuple[str, ...])
        api.session_limits()
        api.idle_seconds()
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"token, apiKeys or api: {error}") from error
    tokens = tuple(text.strip() for text in (token or "", *keys) if text.strip())
    return HttpConfig(tokens=tokens, api=api)
