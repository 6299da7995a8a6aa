"""OpenVINO's tools, without their reports to a web service."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Convert or quantise unobserved: these tools report their use, unasked, except in a CI job."""
    with _lock:  # one environment a process
        before = os.environ.get("CI")
        os.environ["CI"] = "true"
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("CI", None)
            else:
                os.environ["CI"] = before
