"""Digest -> path: which file an embedding is of."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from featx._machine import count_threads
from featx._warnings import warn
from featx.exceptions import ImageWarning
from featx.images._cell import location_of
from featx.images._doors import open_column
from featx.images._memo import DigestMemo, pack_stat
from featx.images._several import spread
from featx.images._source import digest_many


def known_paths(images: Any = None) -> dict[str, str]:
    """Map the digests of images to their paths, so that embeddings of a store can be told apart by them.

    Parameters
    ----------
    images : container of images, default=None
        As for `ImageEncoder`; files that have not changed since they were last read are not read again. None is all
        files that featx has read on this machine, as this user, as far as they are still there and have not changed.

    Returns
    -------
    dict of str to str
        Digest, 32 hex digits -> path: as given, or absolute for None. Of files with equal content it is the first one
        given, or the first by name. Images of URLs and archives are there as they were when they were last read; what
        is only in memory has no path.

    Warns
    -----
    ImageWarning
        If images cannot be used: they are left out.

    See Also
    --------
    EmbeddingStore.export, EmbeddingStore.to_frame : What takes such a mapping.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import featx
    >>> image = Path(tempfile.mkdtemp()) / "cat.jpg"
    >>> _ = image.write_bytes(b"any content")
    >>> {digest: Path(path).name for digest, path in featx.known_paths([image]).items()}
    {'27da10224b73a87506b1f7d4c0a666d9': 'cat.jpg'}
    """
    if images is None:
        return _read_before()
    cells = [cell for cell in spread(open_column(images)).sources if location_of(cell) is not None]
    with ThreadPoolExecutor(count_threads(-1), thread_name_prefix="featx") as pool:
        keys, reasons = digest_many(cells, memo=DigestMemo(), pool=pool)
    if reasons:
        first = next(iter(reasons))
        warn(
            f"{len(reasons):,} of {len(cells):,} images cannot be used, such as {location_of(cells[first])}: "
            f"{reasons[first]}. They are left out; featx.check_images lists them.",
            ImageWarning,
        )
    paths: dict[str, str] = {}
    for i, (cell, key) in enumerate(zip(cells, keys, strict=True)):
        if i not in reasons:
            paths.setdefault(key.tobytes().hex(), str(location_of(cell)))
    return paths


def _read_before() -> dict[str, str]:
    paths: dict[str, str] = {}
    for path, state, digest in DigestMemo().entries():
        if (digits := digest.hex()) not in paths and (not os.path.isabs(path) or _is_same(path, state)):
            paths[digits] = path
    return paths


def _is_same(path: str, state: bytes) -> bool:
    try:
        return pack_stat(os.stat(path)) == state
    except (OSError, ValueError):
        return False
