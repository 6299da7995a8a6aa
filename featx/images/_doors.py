"""Where the images of a column are: what its texts stand for, below which folder its paths lie, which URLs are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from featx._validate import check_choice
from featx.exceptions import ParameterError
from featx.images._accept import ImageColumn, as_column
from featx.images._cell import DecodeError, is_boxed, is_data_uri, is_missing
from featx.images._columns import Cells
from featx.images._memo import FileState
from featx.images._remote import RemoteImage
from featx.images._several import holds_several
from featx.images._source import KeptImage

STRINGS = ("path", "base64")
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_NO_HOST = re.compile(r"/|^[^:]*:\d+$")
_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hf", "memory"})
_WEB = frozenset({"http", "https"})


@dataclass(frozen=True)
class Doors:
    """How cells are read; none of it changes an embedding.

    Parameters
    ----------
    root : str, Path or None, default=None
        The folder, or the URL of one, below which relative paths lie; None is the present folder.
    strings : {"path", "base64"}, default="path"
        What a text is, unless it is a ``data:`` URI.
    allow_http : bool or sequence of str, default=False
        Whether URLs of http and https are read: of all hosts with public addresses, or of these hosts alone.

    Raises
    ------
    ParameterError
        If one of them is none of these.
    """

    root: str | Path | None = None
    strings: str = "path"
    allow_http: bool | Sequence[str] = False

    def __post_init__(self) -> None:
        check_choice("strings", self.strings, STRINGS)
        if self.root is not None and not isinstance(self.root, str | Path):
            raise ParameterError(f"Got root={self.root!r}. Expected a folder, the URL of one, or None.")
        hosts = self.allow_http
        if not isinstance(hosts, bool) and (
            isinstance(hosts, str)
            or not isinstance(hosts, Sequence)
            or not all(isinstance(host, str) for host in hosts)
        ):
            raise ParameterError(f"Got allow_http={hosts!r}. Expected True, False or a list of hosts: ['example.org'].")
        if not isinstance(hosts, bool) and (odd := [host for host in hosts if _NO_HOST.search(host)]):
            raise ParameterError(f"Got allow_http={odd}. Expected hosts alone, without scheme, port and path.")

    def open(self, cell: Any) -> Any:
        """Replace what a cell names by the path, or the remote image, that it stands for; others stay as they are."""
        if isinstance(cell, str):
            if cell == "" or is_data_uri(cell):
                return cell
            return f"data:;base64,{cell}" if self.strings == "base64" else self._locate(cell)
        if isinstance(cell, Path):
            return self._locate(cell)
        if hasattr(cell, "as_py"):  # pyarrow's scalars: bytes are left where they are
            return cell if _has_bytes(cell) else self.open(cell.as_py())
        if is_boxed(cell):
            return {**cell, "image": self.open(cell["image"])}
        if isinstance(cell, Mapping) and is_missing(cell.get("bytes")):
            path = cell.get("path")
            return self._locate(path) if isinstance(path, str | Path) and path != "" else cell
        if holds_several(cell):
            return tuple(map(self.open, cell)) if type(cell) is tuple else list(map(self.open, cell))
        return cell

    def _locate(self, path: str | Path) -> Any:
        url = _URL.match(path) if isinstance(path, str) else None
        if url is None and self.root is not None:
            path = _join(str(self.root), path)
            url = _URL.match(path)
        return path if url is None else self._open_url(str(path), url[1].lower())

    def _open_url(self, url: str, scheme: str) -> Any:
        if scheme == "file":
            return file_path(url) or RefusedImage(
                url, f"a file of the host {urlsplit(url).netloc}; expected file:///path"
            )
        if scheme in _STORES and "::" not in url:
            return RemoteImage(url)
        if scheme in _WEB and self.allow_http is not False:
            from featx.images._http import HttpImage  # loads what speaks HTTP and TLS

            return HttpImage(url, () if self.allow_http is True else tuple(map(str.lower, self.allow_http)))
        if scheme in _WEB:
            return RefusedImage(
                url, "URLs of web servers are read only with allow_http=True; or pass the image's path or bytes"
            )
        known = ", ".join(sorted({"file", "s3", "gs", "az", "hf", "memory"}))
        return RefusedImage(url, f"URLs of {scheme}:// are not read; those of {known} are, or pass the image's bytes")


@dataclass(frozen=True, repr=False)
class RefusedImage(KeptImage):
    """An image that is not read, with the reason."""

    url: str
    reason: str

    @property
    def name(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def read(self) -> bytes:
        raise DecodeError(self.reason)

    @classmethod
    def states(cls, images: Sequence[RefusedImage]) -> list[FileState | str]:
        return [image.reason for image in images]


def open_column(images: Any, doors: Doors = Doors()) -> ImageColumn:
    """Read any accepted container of images, wherever they are.

    Parameters
    ----------
    images : container of images
        As for `as_column`.
    doors : Doors
        What its cells stand for.

    Returns
    -------
    ImageColumn
        With paths and remote images in the place of what names them.

    Raises
    ------
    InputError
        If it is no container of images.

    Examples
    --------
    >>> from featx.images import Doors, open_column
    >>> list(open_column(["a.jpg"], Doors(root="/photos")).sources)
    ['/photos/a.jpg']
    """
    column = as_column(images)
    if isinstance(column.sources, Cells):
        cells = column.sources
        return replace(column, sources=Cells(len(cells), lambda i: doors.open(cells[i])))
    # Most cells are paths as they are.
    plain = doors.root is None and doors.strings == "path"
    opened = [cell if plain and type(cell) is str and ":" not in cell else doors.open(cell) for cell in column.sources]
    return replace(column, sources=opened)


def _has_bytes(scalar: Any) -> bool:
    data: Any = scalar.get("bytes") if isinstance(scalar, Mapping) else scalar
    return data is not None and data.is_valid and "binary" in str(data.type)


def file_path(url: str) -> str | None:
    """Return the path that a URL of scheme file stands for; None of other texts, and of other machines' files."""
    if url[:7].lower() != "file://":
        return None
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return url2pathname(parts.path) if parts.netloc in ("", "localhost") else None


def _join(root: str, path: str | Path) -> str:
    root = file_path(root) or root
    if _URL.match(root):
        return f"{root.rstrip('/')}/{Path(path).as_posix().lstrip('/')}"
    return os.path.join(os.path.expanduser(root), path)
