"""A predictor -> an ASGI application.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from .._bundle import plain
from .._predictor import Predictor
from ._memory import Lease, Room, Shares
from ._request import Limits, Reader, Refusal
from ._schema import REFUSALS, Embeddings, Health, Predictions, describe_body
from ._workers import Answer, Workers

_PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
# How long a refused client may go on sending, so that it comes to read why.
_LINGER = 2.0


class Service:
    """What the endpoints share.

    Parameters
    ----------
    predictor : Predictor
    limits : Limits
    shares : Shares
        Of memory, and how many threads predict.

    Attributes
    ----------
    stopping : bool
        Set once no more requests shall come.
    """

    def __init__(self, predictor: Predictor, limits: Limits, shares: Shares):
        self.stopping = False
        self.active = 0
        self._limits = limits
        self._predictor = predictor
        self._bodies = Room(shares.bodies)
        self._reader = Reader(predictor.card["inputs"], limits)
        self._workers = Workers(predictor, shares.workers, Room(shares.decoding))
        self._probabilities = "probabilities" in predictor.card["outputs"]
        self._classes = None if predictor.classes_ is None else plain(predictor.classes_)

    async def predict(self, request: Request) -> JSONResponse:
        """Answer /predict."""
        names = ["label", *(["probabilities"] if self._probabilities else [])]
        return await self._answer(request, names, "predictions", self._prediction)

    async def embed(self, request: Request) -> JSONResponse:
        """Answer /embed."""
        return await self._answer(request, ["embedding"], "embeddings", _embedding)

    async def health(self) -> JSONResponse:
        """Answer /health."""
        content = {"status": "stopping" if self.stopping else "ready", "requests": self.active}
        return JSONResponse(content, 503 if self.stopping else 200)

    def close(self) -> None:
        """Let the threads end."""
        self._workers.close()

    async def metadata(self) -> dict[str, Any]:
        """Answer /metadata."""
        card = {key: value for key, value in self._predictor.card.items() if key not in ("files", "sha256")}
        return {**card, "limits": {**asdict(self._limits), "max_pixels": self._predictor.max_pixels}}

    async def _answer(self, request: Request, names: Sequence[str], key: str, told: Any) -> JSONResponse:
        started = time.perf_counter()
        self._check_queue(unread=True)
        with Lease(self._bodies) as lease:
            columns = await self._reader.read(request, lease)
            self._check_queue(unread=False)
            self.active += 1
            try:
                answers = await self._workers.answer(columns, names)
            finally:
                self.active -= 1
        content = {key: [told(answer) for answer in answers], "seconds": round(time.perf_counter() - started, 4)}
        if all(answer.error and not answer.outputs for answer in answers):
            status = 413 if all(answer.too_large for answer in answers) else 422
            raise Refusal(status, _none_usable(answers), answer=content)
        return JSONResponse(content)

    def _check_queue(self, *, unread: bool) -> None:
        if self.active >= self._limits.queue:
            raise Refusal(429, f"Got more than {self.active} requests at once. Try again in a second.", unread=unread)

    def _prediction(self, answer: Answer) -> dict[str, Any]:
        label = _finite(plain(np.array([answer.outputs["label"]]))[0]) if answer.outputs else None
        prediction = {"label": label, "probability": None, "probabilities": None, "error": answer.error}
        if "probabilities" in answer.outputs:
            of = dict(zip(self._classes, map(_finite, answer.outputs["probabilities"].tolist()), strict=True))
            prediction["probability"] = of[label]
            prediction["probabilities"] = {str(name): probability for name, probability in of.items()}
        return prediction


class _Refused(JSONResponse):
    """An answer that is sent before the request has come to its end."""

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


def create_app(predictor: Predictor, limits: Limits, shares: Shares) -> FastAPI:
    """Make the service of a bundle.

    Parameters
    ----------
    predictor : Predictor
    limits : Limits
    shares : Shares

    Returns
    -------
    FastAPI
        Its ``state.service`` is the `Service`.
    """
    card, service = predictor.card, Service(predictor, limits, shares)
    page = (predictor.bundle.folder / "page.html").read_text()
    app = FastAPI(title="An image model", version=str(card["featx"]), redoc_url=None)
    app.state.service = service
    body = describe_body(card["inputs"], limits.max_images)
    post: dict[str, Any] = {"methods": ["POST"], "openapi_extra": body, "responses": REFUSALS}
    if card["outputs"]:
        summary = "Predict the label of each image"
        app.add_api_route("/predict", service.predict, response_model=Predictions, summary=summary, **post)
    app.add_api_route("/embed", service.embed, response_model=Embeddings, summary="Embed each image", **post)
    stopping = {503: {"model": Health, "description": "The service is stopping."}}
    app.add_api_route("/health", service.health, response_model=Health, responses=stopping, summary="Ready?")
    app.add_api_route("/metadata", service.metadata, summary="What the bundle is, and the limits")

    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY})

    app.add_api_route("/", index, include_in_schema=False)
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _fail)
    return app


async def _refuse(_: Request, error: Refusal) -> JSONResponse:
    headers = {"connection": "close"} if error.unread else {}
    if error.status == 429:
        headers["retry-after"] = "1"
    return (_Refused if error.unread else JSONResponse)(error.answer, error.status, headers)


async def _not_found(_: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _fail(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "The service failed. Its log says why."}, 500)


def _embedding(answer: Answer) -> dict[str, Any]:
    embedding = [_finite(x) for x in answer.outputs["embedding"].tolist()] if answer.outputs else None
    return {"embedding": embedding, "error": answer.error}


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _none_usable(answers: Sequence[Answer]) -> str:
    return answers[0].error if len(answers) == 1 else f"None of {len(answers)} images can be used."
