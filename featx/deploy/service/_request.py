"""A request's body -> a table of rows: read under limits, as a form or as JSON.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...exceptions import FeatxError
from .._columns import NULL
from ._form import FormReader, TooManyParts
from ._memory import MEGABYTE, Lease

if TYPE_CHECKING:
    from starlette.requests import Request

# A body, and once more while its parts are made.
_COPIES = 2
# What a field of images may be called where there is one column of them.
_ALIASES = ("image", "images", "file", "files")


class Refusal(FeatxError):  # noqa: N818 - an answer, too
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
    message : str
    unread : bool, default=False
        Whether its body has not been read to its end.
    answer : dict, default=None
        More to tell than the message.
    """

    def __init__(self, status: int, message: str, *, unread: bool = False, answer: dict[str, Any] | None = None):
        super().__init__(message)
        self.status = status
        self.unread = unread
        self.answer = {"error": message, **(answer or {})}


class Unreadable(str):
    """Stands for a value that could not be read: the reason."""


@dataclass(frozen=True)
class Limits:
    """What a service takes.

    Attributes
    ----------
    queue : int, default=64
        Requests that are worked on or wait for it.
    max_images : int, default=32
        Rows a request.
    max_bytes : int, default=20_000_000
        Of a request's body.
    timeout : float, default=30
        Seconds that a client has to send a request, and a service to stop.
    """

    queue: int = 64
    max_images: int = 32
    max_bytes: int = 20 * MEGABYTE
    timeout: float = 30


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
        self._pillow = limits
        self._parsing = asyncio.Lock()

    async def read(self, request: Request, lease: Lease) -> dict[str, list[Any]]:
        """Read a request.

        Parameters
        ----------
        request : Request
        lease : Lease
            Of the room for bodies; grows with this one.

        Returns
        -------
        dict of str to list
            A value a row in each column; images as bytes.

        Raises
        ------
        Refusal
            Naming the limit, or what is wrong.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = request.headers.get("content-encoding")
        if encoding or kind not in ("multipart/form-data", "application/json"):
            got = f"content encoded as {encoding!r:.100}" if encoding else f"content of type {kind!r:.100}"
            raise Refusal(415, f"Got {got}. Expected multipart/form-data or application/json as it is.", unread=True)
        if kind == "multipart/form-data":
            form = FormReader(request.headers["content-type"], self._is_image, self._pillow.max_images)
            await self._receive(request, form.write, lease)
            return self._checked(self._of_fields(_told(form.close)))
        body = bytearray()
        await self._receive(request, body.extend, lease)
        async with self._parsing:  # which takes several times the body
            return self._checked(await asyncio.to_thread(self._of_json, body))

    async def _receive(self, request: Request, write: Callable[[bytes], object], lease: Lease) -> None:
        """Hand a body on, chunk by chunk, as long as it keeps to the limits."""
        limit, size, more = self._pillow.max_bytes, 0, True
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise Refusal(413, f"Got a body of {int(declared):,} bytes. Expected at most {limit:,}.", unread=True)
        try:
            async with asyncio.timeout(self._pillow.timeout):
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "The client left before its request was whole.")
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    size += len(chunk)
                    if size > limit:
                        raise Refusal(413, f"Got a body of more than {limit:,} bytes, which is the limit.", unread=more)
                    if not lease.grow(_COPIES * len(chunk)):
                        raise Refusal(429, "Got too many requests at once. Try again in a second.", unread=more)
                    _told(write, chunk, unread=more)
        except TimeoutError:
            seconds = self._pillow.timeout
            raise Refusal(408, f"Got no whole request within {seconds:g} seconds.", unread=True) from None

    def _is_image(self, name: str) -> bool:
        return name in self._images or (len(self._images) == 1 and name in _ALIASES and name not in self._inputs)

    def _of_fields(self, fields: list[tuple[str, bytes]]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for name, value in fields:
            if self._is_image(name):
                name = name if name in self._images else self._images[0]
                columns.setdefault(name, []).append(value)
            else:
                columns.setdefault(name, []).append(_of_text(value, self._inputs.get(name, {})))
        return columns

    def _of_json(self, body: bytearray) -> dict[str, list[Any]]:
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
                raise Refusal(422, f"Got JSON whose columns are no lists. Expected a list each for {self._names()}.")
        if both := images.keys() & columns.keys():
            raise Refusal(422, f"Got {', '.join(both)} both as images and otherwise. Expected it once.")
        images = {name: [_of_base64(value) for value in column] for name, column in images.items()}
        return images | {name: [self._of_null(name, value) for value in column] for name, column in columns.items()}

    def _of_null(self, name: str, value: Any) -> Any:
        is_category = name in self._inputs and self._inputs[name]["kind"] == "category"
        return NULL if is_category and value is None else value

    def _checked(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """The columns, in order, if they are those expected and of one length."""
        if unknown := [name for name in columns if name not in self._inputs]:
            raise Refusal(422, f"Got an unknown column {unknown[0]!r:.100}. Expected {self._names()}.")
        if absent := [name for name in self._inputs if not columns.get(name)]:
            raise Refusal(
                422, f"Got no {', '.join(map(repr, absent))}. Expected {self._names()}, a value a row in each."
            )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise Refusal(422, f"Got columns of different lengths: {lengths}. Expected a value a row in each.")
        n, limit = lengths[self._images[0]], self._pillow.max_images
        if n > limit:
            raise Refusal(413, f"Got {n} images. Expected at most {limit} a request.")
        return {name: columns[name] for name in self._inputs}

    def _names(self) -> str:
        return ", ".join(f"{name!r} ({entry['kind']})" for name, entry in self._inputs.items())


def _told(function: Callable[..., Any], *arguments: Any, unread: bool = False) -> Any:
    """Call what reads a form; what it raises is the client's fault."""
    try:
        return function(*arguments)
    except TooManyParts as error:
        raise Refusal(413, str(error), unread=unread) from None
    except ValueError as error:
        raise Refusal(422, f"Got a form that cannot be read: {error!s:.200}", unread=unread) from None


def _of_text(value: bytes, entry: Mapping[str, Any]) -> Any:
    text = value.decode(errors="replace")
    kind = entry.get("kind", "category")
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
        return Unreadable("no base64: it has a space. Was it a '+' that a form or a URL has changed?")
    if "-" in text or "_" in text:  # the alphabet of URLs
        if "+" in text or "/" in text:
            return Unreadable("no base64: it has both '+/' and '-_', which are of two alphabets")
        text = text.replace("-", "+").replace("_", "/")
    if len(text) % 4:
        return Unreadable(
            f"no base64: {len(text):,} characters, no multiple of 4. Is it whole, with its '=' at the end?"
        )
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError as error:  # binascii's own among them
        return Unreadable(f"no base64: {error}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
