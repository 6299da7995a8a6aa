"""A service's log: one JSON object a line, whatever is said in it.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

# Of a message; tracebacks, which are the service's own, are whole.
_LONGEST = 1000


class JsonLines(logging.Formatter):
    """Makes a line of a record: time, level, message, and what the record's ``fields`` hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII: nothing that a client sends can end it."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage()[:_LONGEST],
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Have everything that is logged, Python's warnings too, written to stderr as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
