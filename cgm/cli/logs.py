"""The log of a run, `cgm.log`."""

from __future__ import annotations

import logging
import sys


class LogFile(logging.FileHandler):
    """A log file that no longer grows on a full disk, without a traceback for each message.

    Files with results raise an error if they cannot be written.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore that a message could not be written."""

        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
