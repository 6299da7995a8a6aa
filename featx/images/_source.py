"""One image source (path, bytes, PIL image, uint8 array) -> its digest, and its RGB pixels."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from PIL import Image

from featx.images._decode import MAX_PIXELS, DecodeError
from featx.images._memo import DigestMemo, pack_stat
from featx.images._read import is_path, read_file, stat_file, to_pixels

DIGEST_BYTES = 16
# The memo's transactions take 2 ms: so few and small files are sooner hashed again.
_FEW = 8
_SMALL = 2_000_000
_FILE_TAG = b"featx:file:1\0"
_PIXELS_TAG = b"featx:pixels:1\0"


def digest_file(data: bytes) -> bytes:
    """Digest of an encoded image: 16 bytes, by content alone."""
    return hashlib.sha256(_FILE_TAG + data).digest()[:DIGEST_BYTES]


def digest_pixels(image: Image.Image) -> bytes:
    """Digest of RGB pixels: 16 bytes over shape and values."""
    width, height = image.size
    tag = _PIXELS_TAG + f"{height}x{width}\0".encode()
    return hashlib.sha256(tag + image.tobytes()).digest()[:DIGEST_BYTES]


def absolute(path: str | Path) -> str:
    """The path from the root, not normalised: it only has to name the same file every time."""
    text = os.fspath(path)
    return text if os.path.isabs(text) else os.path.join(os.getcwd(), text)


def load(source: object, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> tuple[bytes, Image.Image]:
    """Read one source wholly.

    Parameters
    ----------
    source : str, Path, bytes, PIL.Image.Image or uint8 ndarray
    max_pixels : int, default=89_000_000
        Larger images are refused before they are decoded.
    at_least : int, default=None
        JPEGs may be decoded at a fraction of their size, as in `decode`.

    Returns
    -------
    digest : bytes of length 16
        Of exactly the content that was decoded.
    image : PIL.Image.Image
        RGB.

    Raises
    ------
    DecodeError
        With the reason why this source cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.images import load
    >>> digest, image = load(np.zeros((4, 6), "uint8"))
    >>> len(digest), image.size
    (16, (6, 4))
    """
    data = read_file(source) if is_path(source) else source
    image = to_pixels(data, max_pixels, at_least)
    return digest_file(data) if isinstance(data, bytes) else digest_pixels(image), image


def digest_many(
    sources: Sequence[object], *, memo: DigestMemo, pool: Executor, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, dict[int, str]]:
    """Digest many sources; files that have not changed since they were last hashed are not read.

    Parameters
    ----------
    sources : sequence
    memo : DigestMemo
        What is known of files already; new digests are recorded there.
    pool : concurrent.futures.Executor
        Threads that read and hash what the memo does not know.
    max_pixels : int, default=89_000_000

    Returns
    -------
    keys : ndarray of shape (n, 16), uint8
        Zeros where there is a reason.
    reasons : dict of int to str
        Position -> why that source cannot be used.
    """
    results = _digest_files(sources, memo, pool)
    others = [i for i, source in enumerate(sources) if not is_path(source)]
    results |= zip(others, pool.map(lambda i: _hash_source(sources[i], max_pixels), others), strict=True)
    reasons = {i: result for i, result in sorted(results.items()) if isinstance(result, str)}
    keys = b"".join(bytes(DIGEST_BYTES) if i in reasons else results[i] for i in range(len(sources)))
    return np.frombuffer(keys, np.uint8).reshape(-1, DIGEST_BYTES), reasons


def _digest_files(sources: Sequence[object], memo: DigestMemo, pool: Executor) -> dict[int, bytes | str]:
    """Digest those sources that are paths; a str is a reason."""
    since = time.time_ns()
    results: dict[int, bytes | str] = {}
    files = []
    for i, source in enumerate(sources):
        if not is_path(source):
            continue
        try:
            status = stat_file(source)
            files.append((i, absolute(source), status))
        except DecodeError as error:
            results[i] = str(error)

    worth_it = len(files) > _FEW or sum(status.st_size for _, _, status in files) > _SMALL
    known = memo.lookup([path for _, path, _ in files]) if worth_it else {}
    unknown = []
    for i, path, status in files:
        state, digest = known.get(path, (b"", b""))
        if state == pack_stat(status):
            results[i] = digest
        else:
            unknown.append((i, path, status))

    results |= zip((i for i, _, _ in unknown), pool.map(_hash_file, [path for _, path, _ in unknown]), strict=True)
    fresh = [(path, status, results[i]) for i, path, status in unknown if isinstance(results[i], bytes)]
    if worth_it:
        memo.record(fresh, since)
    return results


def _hash_file(path: str) -> bytes | str:
    try:
        return digest_file(read_file(path))
    except DecodeError as error:
        return str(error)


def _hash_source(source: object, max_pixels: int) -> bytes | str:
    """Digest of a source that is no path, without decoding encoded bytes; a str is a reason."""
    if isinstance(source, bytes):
        return digest_file(source) if source else "empty bytes (0 bytes)"
    try:
        return load(source, max_pixels)[0]
    except DecodeError as error:
        return str(error)
