"""A request's body -> a table of rows, read under limits from a form, from JSON, or from an image alone.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from ...exceptions import FeatxError
from .._columns import NULL

# Names that a field of images may have if there is one column of them.
_ALIASES = ("image", "images", "file", "files")
_BYTES = "application/octet-stream"
# Why a request may be refused, and the status of its answer; each is counted.
REASONS = {
    "client_left": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "reload_refused": 409,
    "body_too_large": 413,
    "too_many_images": 413,
    "image_too_large": 413,
    "content_type": 415,
    "malformed": 422,
    "columns": 422,
    "unusable_images": 422,
    "queue_full": 429,
}


class Refusal(FeatxError):  # noqa: N818 - also an answer
    """A request that is answered with an error.

    Parameters
    ----------
    reason : str
        One of `REASONS`.
    message : str
    unread : bool, default=False
        Whether a part of its body has not been read.
    content : dict, default=None
        What the answer holds beside the message.
    """

    def __init__(self, reason: str, message: str, *, unread: bool = False, content: dict[str, Any] | None = None):
        super().__init__(message)
        self.reason = reason
        self.status = REASONS[reason]
        self.unread = unread
        self.content = {"error": message, **(content or {})}


class Unreadable(str):
    """The reason why a value could not be read, in its place."""


@dataclass(frozen=True)
class Limits:
    """What a service accepts.

    Attributes
    ----------
    queue : int, default=64
        Number of requests that are read, wait or are answered at the same time.
    max_images : int, default=32
        Number of rows in a request, and of the images of a column.
    max_bytes : int, default=20_000_000
        Size of a request's body.
    timeout : float, default=30
        Seconds that a client has to send a request.
    """

    queue: int = 64
    max_images: int = 32
    max_bytes: int = 20_000_000
    timeout: float = 30


class _LimitedBody:
    """ASGI's ``receive`` that refuses a body as soon as it is larger than the limit, or a form without its end."""

    def __init__(self, receive: Receive, limit: int, is_form: bool):
        self._receive = receive
        self._limit = limit
        self._is_form = is_form
        self._size = 0
        self._end = b""
        self.more = True

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            body, self.more = message.get("body", b""), message.get("more_body", False)
            self._size += len(body)
            self._end = (self._end + body)[-10:]
            if self._size > self._limit:
                text = f"Got a body of more than {self._limit:,} bytes, which is the limit."
                raise Refusal("body_too_large", text, unread=self.more)
            # The last boundary ends so; the parser does not ask for it.
            if self._is_form and not self.more and not self._end.rstrip().endswith(b"--"):
                raise Refusal("malformed", "Got a form that cannot be read: it breaks off.")
        return message


def takes_several(entry: Mapping[str, Any]) -> bool:
    """Whether a row of a column may have several images: where all of its encoders combine them."""
    return all("rows" in encoder for encoder in (entry, *entry.get("also", ())))


def may_lack(entry: Mapping[str, Any]) -> bool:
    """Whether a row of a column of images may have none."""
    encoders = (entry, *entry.get("also", ()))
    return all(encoder.get("on_missing") == "nan" and encoder.get("takes_none", True) for encoder in encoders)


class Reader:
    """Reads the requests of a service.

    Parameters
    ----------
    inputs : sequence of mapping
        The bundle's inputs.
    limits : Limits
    """

    def __init__(self, inputs: Sequence[Mapping[str, Any]], limits: Limits):
        self._inputs = {entry["name"]: entry for entry in inputs}
        self._images = [entry["name"] for entry in inputs if entry["kind"] == "image"]
        self._has_alias = len(self._images) == 1
        self._several = [name for name in self._images if takes_several(self._inputs[name])]
        self._limits = limits

    async def read(self, request: Request) -> dict[str, list[Any]]:
        """Read a request.

        Parameters
        ----------
        request : Request

        Returns
        -------
        dict of str to list
            Each column's values, one per row, in the order of the inputs; images as bytes, and as lists of them where a
            row may have several. A form is one row then.

        Raises
        ------
        Refusal
            If the request is malformed or exceeds a limit, which it names.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_form, is_image = kind == "multipart/form-data", kind.startswith("image/") or kind == _BYTES
        encoding = request.headers.get("content-encoding")
        if encoding or not (is_form or is_image or kind == "application/json"):
            got = f"content encoded as {encoding!r:.100}" if encoding else f"content of type {kind!r:.100}"
            expected = "multipart/form-data, application/json, or an image (image/*), not compressed"
            raise Refusal("content_type", f"Got {got}. Expected {expected}.", unread=True)
        if is_image and len(self._inputs) > 1:
            text = f"Got an image alone. Expected {self._names()}: a form, or JSON."
            raise Refusal("columns", text, unread=True)
        declared, limit = request.headers.get("content-length", ""), self._limits.max_bytes
        if declared.isdecimal() and int(declared) > limit:
            text = f"Got a body of {int(declared):,} bytes. Expected at most {limit:,}."
            raise Refusal("body_too_large", text, unread=True)
        body = _LimitedBody(request.receive, limit, is_form)
        received = Request(request.scope, body)
        try:
            async with asyncio.timeout(self._limits.timeout):
                if is_form:
                    return self._checked(await self._read_form(received, body))
                content = await received.body()
        except TimeoutError:
            seconds = self._limits.timeout
            raise Refusal("timeout", f"Got no whole request within {seconds:g} seconds.", unread=body.more) from None
        except ClientDisconnect:
            raise Refusal("client_left", "The client left before its request was complete.") from None
        if is_image:
            return {self._images[0]: [content]}
        return self._checked(await asyncio.to_thread(self._of_json, content))

    async def _read_form(self, request: Request, body: _LimitedBody) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        most = self._limits.max_images * len(self._inputs)
        try:
            async with request.form(max_files=most, max_fields=most) as form:
                for field, value in form.multi_items():
                    name = self._column(field)
                    columns.setdefault(name, []).append(await self._of_field(name, value))
                columns = self._of_form(columns)
        except (
            HTTPException,
            ValueError,
        ) as error:  # of python-multipart, which older versions of Starlette let through
            reason = str(getattr(error, "detail", error))
            # Starlette has one exception for a form that is malformed and one that has too many parts.
            if reason.startswith("Too many"):
                text = f"Got a form of too many parts. Expected at most {self._limits.max_images} images, the limit."
                raise Refusal("too_many_images", text, unread=body.more) from None
            text = f"Got a form that cannot be read: {reason:.200}"
            raise Refusal("malformed", text, unread=body.more) from None
        return columns

    async def _of_field(self, name: str, value: str | UploadFile) -> Any:
        if name not in self._inputs:  # which is refused once all names are known
            return value
        if isinstance(value, UploadFile) and name in self._images:
            # A page sends a field without a file as an empty one without a name.
            return await value.read() if value.filename or value.size else None
        if isinstance(value, UploadFile):
            text = f"Got a file in the field {name!r:.100}. Expected text, a part without a file name."
            raise Refusal("malformed", text)
        if name in self._images:
            text = f"Got text in the field {name!r:.100}. Expected a file, a part with a file name."
            raise Refusal("malformed", text)
        return _of_text(value, self._inputs[name])

    def _of_form(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Make rows of fields: one row where a field has all its images; those that may be missing may be left out."""
        for name in self._several:
            if name in columns or may_lack(self._inputs[name]):
                columns[name] = [[image for image in columns.get(name, []) if image is not None]]
        n = max((len(column) for column in columns.values()), default=0)
        if self._several and n > 1:
            many = next(name for name, column in columns.items() if len(column) > 1)
            text = (
                f"Got {n} values of {many!r:.100}. Expected one: a form is one row, with all its images in the field "
                f"{self._several[0]!r:.100}. Send several rows as JSON."
            )
            raise Refusal("columns", text)
        lacking = [name for name in self._images if name not in columns and may_lack(self._inputs[name])]
        return columns | {name: [None] * n for name in lacking if n}

    def _column(self, field: str) -> str:
        """Return the column that a field, or a key of JSON, is meant for: its own name, or another of the images'."""
        return self._images[0] if self._has_alias and field in _ALIASES and field not in self._inputs else field

    def _of_json(self, body: bytes) -> dict[str, list[Any]]:
        try:
            content = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal("malformed", f"Got JSON that cannot be read: {error!s:.200}") from None
        columns = self._of_records(content) if isinstance(content, list) else self._of_columns(content)
        return {name: [self._of_value(name, value) for value in column] for name, column in columns.items()}

    def _of_records(self, records: list[Any]) -> dict[str, list[Any]]:
        """Turn a list of rows into columns; each has all of them."""
        columns: dict[str, list[Any]] = {}
        for i, record in enumerate(records):
            if not isinstance(record, dict):
                text = f"Got a {type(record).__name__} as record {i}. Expected an object of {self._names()}."
                raise Refusal("malformed", text)
            named = self._named(record, f" in record {i}")
            self._check_names(named, f" in record {i}")
            for name, value in named.items():
                columns.setdefault(name, []).append(value)
        return columns

    def _of_columns(self, content: Any) -> dict[str, list[Any]]:
        if isinstance(content, dict):
            for part in ("images", "columns"):  # which may be objects of their own
                if part not in self._inputs and isinstance(inner := content.get(part), dict):
                    content = {key: value for key, value in content.items() if key != part}
                    if both := content.keys() & inner.keys():
                        raise Refusal("columns", f"Got {', '.join(both)!r:.100} twice. Expected it once.")
                    content |= inner
        if not isinstance(content, dict) or not all(isinstance(column, list) for column in content.values()):
            expected = f"an object with a list for each of {self._names()}, or a list of records"
            raise Refusal("malformed", f"Got other JSON than expected: {expected}.")
        return self._named(content)

    def _named(self, content: dict[str, Any], where: str = "") -> dict[str, Any]:
        named = {}
        for field, value in content.items():
            name = self._column(field)
            if name in named:
                raise Refusal("columns", f"Got {name!r:.100} twice{where}, as {field!r:.100} too. Expected it once.")
            named[name] = value
        return named

    def _of_value(self, name: str, value: Any) -> Any:
        if name in self._several and isinstance(value, list):
            return [_of_base64(image) for image in value]
        if name in self._images:
            return _of_base64(value)
        is_category = name in self._inputs and self._inputs[name]["kind"] == "category"
        return NULL if is_category and value is None else value

    def _check_names(self, names: Collection[str], where: str = "") -> None:
        if unknown := [name for name in names if name not in self._inputs]:
            text = f"Got an unknown column {unknown[0]!r:.100}{where}. Expected {self._names()}."
            raise Refusal("columns", text)
        if absent := [name for name in self._inputs if name not in names]:
            text = f"Got no {', '.join(map(repr, absent))}{where}. Expected {self._names()}, one value per row in each."
            raise Refusal("columns", text)

    def _checked(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the columns in order, if they are those expected and of one length."""
        self._check_names([name for name in columns if columns[name] or name not in self._inputs])
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            text = f"Got columns of different lengths: {lengths}. Expected one value per row in each."
            raise Refusal("columns", text)
        images = (columns[name] for name in self._images)
        n = max(sum(max(1, len(cell)) if isinstance(cell, list) else 1 for cell in column) for column in images)
        if n > (limit := self._limits.max_images):
            raise Refusal("too_many_images", f"Got {n} images. Expected at most {limit} a request.")
        return {name: columns[name] for name in self._inputs}

    def _names(self) -> str:
        return ", ".join(f"{name!r} ({entry['kind']})" for name, entry in self._inputs.items())


def _of_text(text: str, entry: Mapping[str, Any]) -> Any:
    kind = entry["kind"]
    if kind == "category":
        # As pandas reads an empty cell, unless the empty text is a category itself.
        return NULL if not text and entry.get("missing") and "" not in (entry["known"] or ()) else text
    try:
        if kind == "integer":
            return int(text)
        return float(text) if math.isfinite(float(text)) else text
    except ValueError:
        return text or None


def _of_base64(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        return Unreadable(f"a {type(value).__name__}; expected an image file in base64")
    if value[:5].lower() == "data:":
        kind, _, value = value.partition(",")
        if not kind.lower().endswith(";base64"):
            return Unreadable(f"a data: URI without ';base64,' ({kind!r:.100}); expected an image file in base64")
    text = value.replace("\r", "").replace("\n", "")  # MIME breaks lines every 76 characters
    if " " in text:
        return Unreadable("not base64: it has a space. Was it a '+' that a form or a URL has changed?")
    if "-" in text or "_" in text:  # the alphabet of URLs
        if "+" in text or "/" in text:
            return Unreadable("not base64: it has both '+/' and '-_', which belong to two alphabets")
        text = text.replace("-", "+").replace("_", "/")
    if len(text) % 4:
        return Unreadable(
            f"not base64: {len(text):,} characters, not a multiple of 4. Is it whole, with its '=' at the end?"
        )
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError as error:  # binascii.Error among them
        return Unreadable(f"not base64: {error}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
