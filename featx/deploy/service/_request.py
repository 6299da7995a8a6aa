"""A request's body -> a table of rows, read under limits from a form or from JSON.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Mapping, Sequence
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


class Refusal(FeatxError):  # noqa: N818 - also an answer
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
    message : str
    unread : bool, default=False
        Whether a part of its body has not been read.
    content : dict, default=None
        What the answer holds beside the message.
    """

    def __init__(self, status: int, message: str, *, unread: bool = False, content: dict[str, Any] | None = None):
        super().__init__(message)
        self.status = status
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
        Number of rows in a request.
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
                raise Refusal(413, text, unread=self.more)
            # The last boundary ends so; the parser does not ask for it.
            if self._is_form and not self.more and not self._end.rstrip().endswith(b"--"):
                raise Refusal(422, "Got a form that cannot be read: it breaks off.")
        return message


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
        self._limits = limits

    async def read(self, request: Request) -> dict[str, list[Any]]:
        """Read a request.

        Parameters
        ----------
        request : Request

        Returns
        -------
        dict of str to list
            Each column's values, one per row, in the order of the inputs; images as bytes.

        Raises
        ------
        Refusal
            If the request is malformed or exceeds a limit, which it names.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = request.headers.get("content-encoding")
        if encoding or kind not in ("multipart/form-data", "application/json"):
            got = f"content encoded as {encoding!r:.100}" if encoding else f"content of type {kind!r:.100}"
            raise Refusal(
                415, f"Got {got}. Expected multipart/form-data or application/json, not compressed.", unread=True
            )
        declared, limit = request.headers.get("content-length", ""), self._limits.max_bytes
        if declared.isdecimal() and int(declared) > limit:
            raise Refusal(413, f"Got a body of {int(declared):,} bytes. Expected at most {limit:,}.", unread=True)
        is_form = kind == "multipart/form-data"
        body = _LimitedBody(request.receive, limit, is_form)
        received = Request(request.scope, body)
        try:
            async with asyncio.timeout(self._limits.timeout):
                if is_form:
                    return self._checked(await self._read_form(received, body))
                content = await received.body()
        except TimeoutError:
            seconds = self._limits.timeout
            raise Refusal(408, f"Got no whole request within {seconds:g} seconds.", unread=body.more) from None
        except ClientDisconnect:
            raise Refusal(400, "The client left before its request was complete.") from None
        return self._checked(await asyncio.to_thread(self._of_json, content))

    async def _read_form(self, request: Request, body: _LimitedBody) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        most = self._limits.max_images * len(self._inputs)
        try:
            async with request.form(max_files=most, max_fields=most) as form:
                for name, value in form.multi_items():
                    if self._is_image(name):
                        name = name if name in self._images else self._images[0]
                    columns.setdefault(name, []).append(await self._of_field(name, value))
        except (
            HTTPException,
            ValueError,
        ) as error:  # of python-multipart, which older versions of Starlette let through
            reason = str(getattr(error, "detail", error))
            # Starlette has one exception for a form that is malformed and one that has too many parts.
            if reason.startswith("Too many"):
                text = f"Got a form of too many parts. Expected at most {self._limits.max_images} images, the limit."
                raise Refusal(413, text, unread=body.more) from None
            raise Refusal(422, f"Got a form that cannot be read: {reason:.200}", unread=body.more) from None
        return columns

    async def _of_field(self, name: str, value: str | UploadFile) -> Any:
        if name not in self._inputs:  # which is refused once all names are known
            return value
        if isinstance(value, UploadFile) and name in self._images:
            return await value.read()
        if isinstance(value, UploadFile):
            raise Refusal(422, f"Got a file in the field {name!r:.100}. Expected text, a part without a file name.")
        if name in self._images:
            raise Refusal(422, f"Got text in the field {name!r:.100}. Expected a file, a part with a file name.")
        return _of_text(value, self._inputs[name])

    def _is_image(self, name: str) -> bool:
        return name in self._images or (len(self._images) == 1 and name in _ALIASES and name not in self._inputs)

    def _of_json(self, body: bytes) -> dict[str, list[Any]]:
        try:
            content = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal(422, f"Got JSON that cannot be read: {error!s:.200}") from None
        if not isinstance(content, dict) or not {"images"} <= content.keys() <= {"images", "columns"}:
            raise Refusal(422, 'Got other JSON than expected: {"images": ["<base64>", ...], "columns": {...}}.')
        images, columns = content["images"], content.get("columns") or {}
        if len(self._images) == 1 and isinstance(images, list):
            images = {self._images[0]: images}
        for part in (images, columns):
            if not isinstance(part, dict) or not all(isinstance(column, list) for column in part.values()):
                raise Refusal(
                    422, f"Got JSON whose columns are not lists. Expected a list for each of {self._names()}."
                )
        if both := images.keys() & columns.keys():
            raise Refusal(422, f"Got {', '.join(both)} both as images and otherwise. Expected it once.")
        images = {name: [_of_base64(value) for value in column] for name, column in images.items()}
        return images | {name: [self._of_null(name, value) for value in column] for name, column in columns.items()}

    def _of_null(self, name: str, value: Any) -> Any:
        is_category = name in self._inputs and self._inputs[name]["kind"] == "category"
        return NULL if is_category and value is None else value

    def _checked(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the columns in order, if they are those expected and of one length."""
        if unknown := [name for name in columns if name not in self._inputs]:
            raise Refusal(422, f"Got an unknown column {unknown[0]!r:.100}. Expected {self._names()}.")
        if absent := [name for name in self._inputs if not columns.get(name)]:
            raise Refusal(
                422, f"Got no {', '.join(map(repr, absent))}. Expected {self._names()}, one value per row in each."
            )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise Refusal(422, f"Got columns of different lengths: {lengths}. Expected one value per row in each.")
        n, limit = lengths[self._images[0]], self._limits.max_images
        if n > limit:
            raise Refusal(413, f"Got {n} images. Expected at most {limit} a request.")
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
