"""Where embeddings are kept by default."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_location() -> Path | str:
    """``$FEATX_CACHE``, a folder or a URL; else this user's cache folder."""
    if folder := os.environ.get("FEATX_CACHE"):
        if "://" in folder:
            return folder
        return Path(folder).expanduser().absolute()
    return user_folder() / "embeddings"


def user_folder() -> Path:
    """Find the cache folder of this user, for everything that featx keeps."""
    return platformdirs.user_cache_path("featx", appauthor=False)
