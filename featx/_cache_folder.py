"""Where embeddings are kept by default."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_location() -> Path:
    """``$FEATX_CACHE``, else this user's cache folder."""
    if folder := os.environ.get("FEATX_CACHE"):
        return Path(folder).expanduser().absolute()
    return user_folder() / "embeddings"


def user_folder() -> Path:
    """Find the cache folder of this user, for everything that featx keeps."""
    return platformdirs.user_cache_path("featx", appauthor=False)
