"""The options of the HTTP API and of Hrana."""

from __future__ import annotations

from typing import Annotated

from buntime_database import SessionLimits
from buntime_host import Duration, Options, Size, option


class ApiConfig(Options, frozen=True):
    """The option `api`."""

    write: Annotated[
        bool,
        option(
            "Let programs on this machine write without a token",
            "Opens execute, batch, rows, tenants and Hrana; with a token they are always open",
        ),
    ] = False
    max_rows: Annotated[int, option("Most rows in one answer of the JSON API", least=1)] = 1000
    max_response_size: Annotated[
        Size, option("Largest result of a statement, or of a whole batch")
    ] = Size("10mb")
    statement_timeout: Annotated[Duration, option("How long a statement may run")] = Duration("5s")
    transaction_timeout: Annotated[
        Duration, option("How long a transaction may hold the write lock")
    ] = Duration("5s")
    idle_timeout: Annotated[
        Duration, option("How long a Hrana stream may be idle before it is closed")
    ] = Duration("10s")
    max_streams: Annotated[
        int, option("Hrana streams that may be open at once", least=1, most=256)
    ] = 128
    max_streams_per_client: Annotated[
        int, option("Hrana streams that one client may have open at once", least=1, most=256)
    ] = 64

    def session_limits(self) -> SessionLimits:
        """Limits of one connection."""
        return SessionLimits(
            statement_seconds=self.statement_timeout,
            transaction_seconds=self.transaction_timeout,
            max_bytes=self.max_response_size,
        )


class FaceOptions(Options, frozen=True):
    """The options of the plugin that concern HTTP requests."""

    token: Annotated[
        str | None,
        option("Token that opens the HTTP API and Hrana", env="DATABASE_API_TOKEN", secret=True),
    ] = None
    api_keys: Annotated[tuple[str, ...], option("More tokens, which open the same")] = ()
    api: Annotated[ApiConfig, option("HTTP API and Hrana")] = ApiConfig()

    def tokens(self) -> tuple[str, ...]:
        """All tokens; blank ones count as none."""
        return tuple(text.strip() for text in (self.token or "", *self.api_keys) if text.strip())
