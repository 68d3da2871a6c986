"""What goes wrong at every turn of a loop, and is to be said once."""

from __future__ import annotations

import logging


class Complaint:
    """Logs an error when a loop meets it, and not again while the same one goes on."""

    def __init__(self, logger: logging.Logger, text: str) -> None:
        """`text` has one `%s`, for the error."""
        self._logger = logger
        self._text = text
        self._said = ""

    def about(self, error: Exception) -> None:
        """A turn has failed."""
        if str(error) != self._said:
            self._said = str(error)
            self._logger.warning(self._text, error)

    def over(self) -> None:
        """A turn has worked."""
        self._said = ""
