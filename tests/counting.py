"""Makes the INFO lines of every process visible: importing it logs them to the file in $FEATX_TEST_LOG."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from sklearn.preprocessing import FunctionTransformer

_LINE = re.compile(r"rows=(\d+) hits=(\d+) encoded=(\d+) failed=(\d+) seconds=")


def _attach() -> None:
    file = os.environ.get("FEATX_TEST_LOG")
    logger = logging.getLogger("featx")
    if file and not logger.handlers:
        logger.addHandler(logging.FileHandler(file))
        logger.setLevel(logging.INFO)


_attach()


def same(images):
    """Passed through a Pipeline so that worker processes import this module."""
    return images


def watched(pipeline):
    """The pipeline, behind a step that lives in this module."""
    pipeline.steps.insert(0, ("watch", FunctionTransformer(same)))
    return pipeline


def totals(file: Path) -> dict[str, int]:
    """Sums over all INFO lines."""
    lines = [tuple(map(int, match)) for match in _LINE.findall(file.read_text())]
    return dict(zip(("rows", "hits", "encoded", "failed"), map(sum, zip(*lines, strict=True)), strict=True))
