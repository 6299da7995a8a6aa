"""multipart/form-data -> its fields, as it arrives.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Callable

from python_multipart.multipart import MultipartParser, parse_options_header

_MAX_TEXT = 10_000
_MAX_COLUMNS = 1000


class TooManyParts(ValueError):  # noqa: N818 - a limit, told with the others
    """More images, or fields, than one request may have."""


class FormReader:
    """Collects a form's fields.

    Parameters
    ----------
    content_type : str
        The header, with the boundary.
    is_image : callable
        Whether a field of that name is an image; others are text, and short.
    max_images : int
        How many there may be of each.

    Raises
    ------
    ValueError
        If there is no boundary, or, from all methods, if the form is malformed.
    """

    def __init__(self, content_type: str, is_image: Callable[[str], bool], max_images: int):
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise ValueError("its content type has no boundary")
        self._is_image = is_image
        self._max_images = max_images
        self._counts: dict[str, int] = {}
        self._fields: list[tuple[str, bytes]] = []
        self._ended = False
        self._begin()
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._extend,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._parser.write(chunk)

    def close(self) -> list[tuple[str, bytes]]:
        """Name and content of each field, in order."""
        if not self._ended:
            raise ValueError("it breaks off")
        return self._fields

    def _begin(self) -> None:
        self._header, self._value, self._content = bytearray(), bytearray(), bytearray()
        self._disposition = b""

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name")
        if name is None:
            raise ValueError("one of its parts has no name")
        self._name = name.decode(errors="replace")
        self._counts[self._name] = self._counts.get(self._name, 0) + 1
        if self._counts[self._name] > self._max_images:
            raise TooManyParts(f"Got more than {self._max_images} of {self._name!r:.100}, which is the limit.")
        if len(self._counts) > _MAX_COLUMNS:
            raise TooManyParts(f"Got more than {_MAX_COLUMNS} columns, which is the limit.")

    def _extend(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]
        if len(self._content) > _MAX_TEXT and not self._is_image(self._name):
            raise ValueError(f"{self._name!r:.100} is longer than {_MAX_TEXT:,} bytes")

    def _end_part(self) -> None:
        self._fields.append((self._name, bytes(self._content)))
        self._content = bytearray()

    def _end(self) -> None:
        self._ended = True
