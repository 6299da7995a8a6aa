"""A predictor -> an ASGI application.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...exceptions import InputError
from ...images._decode import DecodeError, open_header
from .._bundle import plain
from .._columns import read_columns
from .._predictor import Predictor
from ._request import Limits, Reader, Refusal, Unreadable

_TYPES = {"number": "number", "integer": "integer", "category": "string"}


class Prediction(BaseModel):
    """The answer for one row."""

    label: str | int | float | bool | None = Field(description="the class, or the value; null if there is an error")
    probability: float | None = Field(description="of that label; null if the model gives none")
    probabilities: dict[str, float] | None = Field(description="of each class; null if the model gives none")
    error: str = Field(description="what is wrong with this row; empty if nothing is")


class Predictions(BaseModel):
    """The answer to /predict, one prediction per row, in order."""

    predictions: list[Prediction]
    seconds: float


class Embedding(BaseModel):
    """The embedding of one row."""

    embedding: list[float | None] | None
    error: str = Field(description="what is wrong with this row; empty if nothing is")


class Embeddings(BaseModel):
    """The answer to /embed, one embedding per row, in order."""

    embeddings: list[Embedding]
    seconds: float


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class NothingUsable(Problem):
    """Why no row could be used, row by row."""

    predictions: list[Prediction] | None = None
    embeddings: list[Embedding] | None = None
    seconds: float | None = None


class Health(BaseModel):
    """Whether the service takes requests."""

    status: str = Field(examples=["ready", "stopping"])
    requests: int = Field(description="being read or answered")


REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": "The request did not arrive in time."},
    413: {"model": NothingUsable, "description": "Above a limit, which the error names."},
    415: {"model": Problem, "description": "Neither a form nor JSON."},
    422: {"model": NothingUsable, "description": "Malformed, or no image could be used."},
    429: {"model": Problem, "description": "Too many requests at once; see Retry-After."},
}


def describe_body(inputs: Sequence[Mapping[str, Any]], max_images: int) -> dict[str, Any]:
    """Describe a request's body for OpenAPI.

    Parameters
    ----------
    inputs : sequence of mapping
        The bundle's inputs.
    max_images : int

    Returns
    -------
    dict
        The key ``requestBody`` of an operation.
    """
    images = [entry["name"] for entry in inputs if entry["kind"] == "image"]
    values = [entry for entry in inputs if entry["kind"] != "image"]

    def column(items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": 1, "maxItems": max_images}

    base64 = column({"type": ["string", "null"], "contentEncoding": "base64", "description": "an image file"})
    encoded = base64 if len(images) == 1 else _object(dict.fromkeys(images, base64))
    typed = {entry["name"]: column(_item(entry)) for entry in values}
    form = {name: column({"type": "string", "format": "binary"}) for name in images} | typed
    json = {"images": encoded, **({"columns": _object(typed)} if typed else {})}
    content = {"multipart/form-data": {"schema": _object(form)}, "application/json": {"schema": _object(json)}}
    return {"requestBody": {"required": True, "content": content}}


def _item(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind = _TYPES[entry["kind"]]
    known = (
        {}
        if entry["known"] is None or entry.get("others")
        else {"enum": [*entry["known"], *([None] if entry["missing"] else [])]}
    )
    return {"type": [kind, "null"] if entry["missing"] else kind, **known}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
# How long a refused client may continue to send, so that it reads the reason.
_LINGER = 2.0


@dataclass(frozen=True)
class Answer:
    """The result of one row.

    Attributes
    ----------
    outputs : dict of str to ndarray
        By name; empty if the row cannot be used.
    error : str, default=""
        What is wrong with the row.
    too_large : bool, default=False
        Whether its image has more pixels than allowed.
    """

    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""
    too_large: bool = False


class Service:
    """The state that all endpoints share: a predictor, its threads, and the requests under way.

    Parameters
    ----------
    predictor : Predictor
        Best with one thread: the service's threads call it in parallel.
    limits : Limits
    n_jobs : int
        Number of threads. Each predicts one row at a time, which is as fast as batches and takes less memory.

    Attributes
    ----------
    stopping : bool
        Set when the service must not get more requests.
    active : int
        Number of requests that are being read or answered.
    """

    def __init__(self, predictor: Predictor, limits: Limits, n_jobs: int):
        self.stopping = False
        self.active = 0
        self._limits = limits
        self._predictor = predictor
        self._reader = Reader(predictor.manifest["inputs"], limits)
        self._pool = ThreadPoolExecutor(n_jobs, thread_name_prefix="featx")
        self._probabilities = "probabilities" in predictor.manifest["outputs"]
        self._classes = [] if predictor.classes_ is None else plain(predictor.classes_)

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

    async def metadata(self) -> dict[str, Any]:
        """Answer /metadata."""
        manifest = {key: value for key, value in self._predictor.manifest.items() if key not in ("files", "sha256")}
        return {**manifest, "limits": {**asdict(self._limits), "max_pixels": self._predictor.max_pixels}}

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(
        self, request: Request, names: Sequence[str], key: str, format_row: Callable[[Answer], dict[str, Any]]
    ) -> JSONResponse:
        started = time.perf_counter()
        with self._place_in_queue():
            columns = await self._reader.read(request)
            rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
            run = asyncio.get_running_loop().run_in_executor
            answers = await asyncio.gather(*(run(self._pool, self._run, row, names) for row in rows))
        content = {key: [format_row(answer) for answer in answers], "seconds": round(time.perf_counter() - started, 4)}
        if all(answer.error and not answer.outputs for answer in answers):
            status = 413 if all(answer.too_large for answer in answers) else 422
            reason = answers[0].error if len(answers) == 1 else f"None of {len(answers)} images can be used."
            raise Refusal(status, reason, content=content)
        return JSONResponse(content)

    @contextmanager
    def _place_in_queue(self) -> Iterator[None]:
        if self.active >= self._limits.queue:
            raise Refusal(429, f"Got more than {self.active} requests at once. Try again in a second.", unread=True)
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def _run(self, row: Mapping[str, Any], names: Sequence[str]) -> Answer:
        """Predict a row, in one of the threads."""
        for name, value in row.items():
            if isinstance(value, Unreadable):
                return Answer(error=f"{name}: {value}")
            if isinstance(value, bytes) and (error := self._check_pixels(value)):
                return Answer(error=error, too_large=True)
        try:
            columns = read_columns({name: [value] for name, value in row.items()}, self._predictor.manifest["inputs"])
        except InputError as error:
            return Answer(error=str(error))
        outputs, reasons, unusable = self._predictor.run(columns, names)
        reason = reasons.get(0, "")
        return Answer(error=reason) if unusable else Answer({name: outputs[name][0] for name in names}, reason)

    def _check_pixels(self, data: bytes) -> str:
        """Return why an image is too large, by its header; empty if it is not."""
        try:
            width, height = open_header(data).size
        except DecodeError:  # the prediction reports it
            return ""
        pixels, limit = width * height, self._predictor.max_pixels
        if pixels <= limit:
            return ""
        return f"the image has {width} x {height} = {pixels:,} pixels, more than the limit of {limit:,}"

    def _prediction(self, answer: Answer) -> dict[str, Any]:
        label = _finite(plain(np.array([answer.outputs["label"]]))[0]) if answer.outputs else None
        prediction = {"label": label, "probability": None, "probabilities": None, "error": answer.error}
        if "probabilities" in answer.outputs:
            of = dict(zip(self._classes, map(_finite, answer.outputs["probabilities"].tolist()), strict=True))
            prediction["probability"] = of[label]
            prediction["probabilities"] = {str(name): probability for name, probability in of.items()}
        return prediction


class _CloseWhenStopping:
    """Middleware that announces the end of each connection once the service is stopping."""

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def announce(message: Message) -> None:
            if message["type"] == "http.response.start" and self._service.stopping:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, announce)


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


def create_app(predictor: Predictor, limits: Limits, n_jobs: int, lifespan: Any = None) -> FastAPI:
    """Create the application that serves a predictor.

    Parameters
    ----------
    predictor : Predictor
    limits : Limits
    n_jobs : int
        Number of threads that predict.
    lifespan : callable, default=None
        Starlette's: a context manager around the time that the application runs.

    Returns
    -------
    FastAPI
        The application; its ``state.service`` is the `Service`.
    """
    manifest, service = predictor.manifest, Service(predictor, limits, n_jobs)
    page = (predictor.bundle.folder / "page.html").read_text()
    app = FastAPI(title="An image model", version=str(manifest["featx"]), redoc_url=None, lifespan=lifespan)
    app.state.service = service
    body = describe_body(manifest["inputs"], limits.max_images)
    post: dict[str, Any] = {"methods": ["POST"], "openapi_extra": body, "responses": REFUSALS}
    if manifest["outputs"]:
        summary = "Predict the label of each image"
        app.add_api_route("/predict", service.predict, response_model=Predictions, summary=summary, **post)
    app.add_api_route("/embed", service.embed, response_model=Embeddings, summary="Embed each image", **post)
    stopping = {503: {"model": Health, "description": "The service is stopping."}}
    app.add_api_route("/health", service.health, response_model=Health, responses=stopping, summary="Check readiness")
    app.add_api_route("/metadata", service.metadata, summary="Describe the bundle and the limits")

    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY})

    app.add_api_route("/", index, include_in_schema=False)
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(HTTPException, _report_http)
    app.add_exception_handler(Exception, _report_failure)
    app.add_middleware(_CloseWhenStopping, service=service)
    return app


async def _refuse(_: Request, error: Refusal) -> JSONResponse:
    headers = {"connection": "close"} if error.unread else {}
    if error.status == 429:
        headers["retry-after"] = "1"
    return (_EarlyResponse if error.unread else JSONResponse)(error.content, error.status, headers)


async def _report_http(_: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _report_failure(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "The service failed. Its log says why."}, 500)


def _embedding(answer: Answer) -> dict[str, Any]:
    embedding = [_finite(x) for x in answer.outputs["embedding"].tolist()] if answer.outputs else None
    return {"embedding": embedding, "error": answer.error}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
