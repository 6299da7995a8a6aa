from __future__ import annotations

from importlib.metadata import version

import featx


def test_the_version_is_that_of_the_installed_package():
    assert featx.__version__ == version("featx")
