"""What happens around each request: its id, the check of its key, its headers, its line in the log, its counts.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from threading import Event

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._keys import Keys, challenge, explain
from ._metrics import Metrics
from ._models import Model, Models
from ._request import Refusal

_log = logging.getLogger("access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What may stand in a log and in a header as it is.
_ID = re.compile(r"[A-Za-z0-9._~:+/=-]{1,128}")
# How long a refused client may continue to send, so that it reads the reason.
_LINGER = 2.0


@dataclass
class Access:
    """One request.

    Attributes
    ----------
    id : str
        The client's, or a new one.
    route : str
        One of the service's paths, or "unknown".
    model : Model
        The one that answers it, also if another one takes over meanwhile.
    images : int
        Number of rows.
    refused : str
        The reason why it was refused; "" if it was not.
    status : int
        Of the answer; 0 if there was none.
    """

    id: str
    route: str
    model: Model
    images: int = 0
    refused: str = ""
    status: int = 0


class Gate:
    """The middleware that every request comes through; it leaves an `Access` in the scope, as ``access``.

    Parameters
    ----------
    app : ASGI application
    models : Models
    metrics : Metrics
    routes : collection of str
        The service's paths.
    keyed : collection of str
        Those that need a key.
    keys : Keys or None
        None lets everybody in.
    stopping : Event
        Set when the service must not get more requests: each connection is then closed after its answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        models: Models,
        metrics: Metrics,
        routes: Collection[str],
        keyed: Collection[str],
        keys: Keys | None,
        stopping: Event,
    ):
        self._app = app
        self._models = models
        self._metrics = metrics
        self._routes = routes
        self._keyed = keyed
        self._keys = keys
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        route = scope["path"] if scope["path"] in self._routes else "unknown"
        access = Access(given if _ID.fullmatch(given) else uuid.uuid4().hex, route, self._models.current)
        scope["access"] = access
        headers = [(b"x-request-id", access.id.encode()), (b"x-model", access.model.header)]

        async def announce(message: Message) -> None:
            if message["type"] == "http.response.start":
                access.status = message["status"]
                closing = [(b"connection", b"close")] if self._stopping.is_set() else []
                message = {**message, "headers": [*message["headers"], *headers, *closing]}
            await send(message)

        try:
            if route in self._keyed and self._keys is not None and not self._keys.admit(route, scope["headers"]):
                refusal = Refusal("unauthorized", explain(route), unread=True)
                await answer_refusal(refusal, scope)(scope, receive, announce)
            else:
                await self._app(scope, receive, announce)
        except Exception:  # it has been answered
            _log.exception("the service failed", extra={"fields": {"request_id": access.id}})
        finally:
            self._finish(scope, access, time.perf_counter() - started)

    def _finish(self, scope: Scope, access: Access, seconds: float) -> None:
        self._metrics.count_request(access.route, access.status, access.refused)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        fields = {
            "route": access.route,
            "status": access.status,
            "seconds": round(seconds, 4),
            "request_id": access.id,
            "images": access.images,
            **({"refused": access.refused} if access.refused else {}),
            "client": scope["client"][0] if scope.get("client") else None,
        }
        _log.info("%s %s", method, access.route, extra={"fields": fields})


def answer_refusal(error: Refusal, scope: Scope) -> ASGIApp:
    """Make the answer to a request that is refused, and note the reason."""
    scope["access"].refused = error.reason
    headers = {"connection": "close"} if error.unread else {}
    if error.status == 429:
        headers["retry-after"] = "1"
    if error.status == 401:
        headers["www-authenticate"] = challenge(scope["access"].route)
    return (_EarlyResponse if error.unread else JSONResponse)(error.content, error.status, headers)


class _EarlyResponse(JSONResponse):
    """A response that is sent while the request is still arriving; then the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
