"""Images of object stores, which fsspec reads: states in few requests, contents by threads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from featx._optional import open_url
from featx.exceptions import InputError
from featx.images._cell import DecodeError
from featx.images._files import HOUSEKEEPING, SUFFIXES
from featx.images._memo import FileState
from featx.images._source import KeptImage

# What names a content, by the store that tells it; the other fields of a listing change or do not.
_VERSIONS = ("ETag", "etag", "VersionId", "generation", "blob_id", "md5Hash", "content_md5")
# From so many files of one folder on it is listed.
_LISTED_FROM = 20
_THREADS = 16


@dataclass(frozen=True, repr=False)
class RemoteImage(KeptImage):
    """An image of an object store.

    Parameters
    ----------
    url : str
        As fsspec reads it: ``s3://bucket/key``. Where the store is and who asks is configured as for fsspec.
    """

    url: str

    is_remote = True

    @property
    def name(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def read(self) -> bytes:
        system, path = _open(self.url)
        try:
            content = system.cat_file(path)
        except Exception as error:
            raise DecodeError(_reason(error)) from error
        if not content:
            raise DecodeError("the file is empty (0 bytes)")
        return content

    @classmethod
    def states(cls, images: Sequence[RemoteImage]) -> list[FileState | str]:
        found: dict[str, FileState | str] = {}
        folders: dict[tuple[str, str], list[str]] = {}
        for image in images:
            scheme, _, path = image.url.partition("://")
            folders.setdefault((scheme, path.rpartition("/")[0]), []).append(image.url)
        single = []
        for urls in folders.values():
            if len(urls) < _LISTED_FROM:
                single += urls
            else:
                found |= _list(urls)
        with ThreadPoolExecutor(_THREADS) as pool:
            found |= zip(single, pool.map(_ask, single), strict=True)
        return [found[image.url] for image in images]


def list_remote(url: str) -> list[str]:
    """List the images below a folder of an object store, in sorted order, by their suffixes alone.

    Parameters
    ----------
    url : str
        As fsspec reads it: ``s3://bucket/photos/``.

    Returns
    -------
    list of str
        Their URLs.

    Raises
    ------
    InputError
        If there are none, or the store cannot be read.

    Examples
    --------
    >>> import fsspec
    >>> from featx.images._remote import list_remote
    >>> fsspec.filesystem("memory").pipe({"/album/a.jpg": b"...", "/album/b.txt": b"..."})
    >>> list_remote("memory://album")
    ['memory:///album/a.jpg']
    """
    system, path = _open(url)
    try:
        found = system.find(path)
    except Exception as error:
        raise InputError(f"{url} cannot be listed: {_reason(error)}.") from error
    images = [name for name in sorted(found) if _is_image(name.removeprefix(path) or name)]
    if not images:
        raise InputError(f"{url} holds no images ({', '.join(sorted(SUFFIXES))}). Expected a folder of images.")
    return [system.unstrip_protocol(name) for name in images]


def _is_image(name: str) -> bool:
    """Whether it is one by its suffix, and nobody's housekeeping."""
    *folders, file = name.strip("/").split("/")
    hidden = any(part.startswith(".") or part.lower() in HOUSEKEEPING for part in (*folders, file))
    return not hidden and os.path.splitext(file)[1].lower() in SUFFIXES


def _open(url: str) -> tuple[Any, str]:
    return open_url(url, purpose=f"Reading {url}")


def _ask(url: str) -> FileState | str:
    system, path = _open(url)
    try:
        system.invalidate_cache(path.rpartition("/")[0])
        return _state(system.info(path))
    except Exception as error:
        return _reason(error)


def _list(urls: Sequence[str]) -> dict[str, FileState | str]:
    """List the folder of some files."""
    system, path = _open(urls[0])
    folder = path.rpartition("/")[0]
    try:
        system.invalidate_cache(folder)
        entries = {_last(entry["name"]): entry for entry in system.ls(folder, detail=True)}
    except Exception as error:
        return dict.fromkeys(urls, _reason(error))
    return {url: _state(entries[_last(url)]) if _last(url) in entries else "no such file" for url in urls}


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _state(entry: Mapping[str, Any]) -> FileState | str:
    if entry.get("type") == "directory":
        return "is a folder, not an image file"
    size = int(entry.get("size") or 0)
    told = [f"{key} {entry[key]}" for key in _VERSIONS if entry.get(key)]
    return FileState(f"{told[0]} {size}".encode() if told else b"", size)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not an image file"
    if isinstance(error, PermissionError):
        return f"no permission to read the file: {error}"
    return f"cannot be read: {str(error) or type(error).__name__}"
