"""OpenVINO's tools, without their reports to a web service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Convert or quantise unobserved: these tools report their use, unasked, except in a CI job."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
