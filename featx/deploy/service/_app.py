"""The paths of a service, as an ASGI application.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...exceptions import BundleError
from .._bundle import plain
from ._access import Access, Gate, answer_refusal
from ._keys import PROTECTABLE, Keys
from ._metrics import Metrics
from ._models import Model, Models
from ._request import Limits, Refusal
from ._schema import KEYED
from ._workers import Answer, Workers

_PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'"
)
_SWAGGER = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_STATUS_REASONS = {404: "not_found", 405: "method_not_allowed"}


class Service:
    """The application: what each path answers, and the state that they share.

    Parameters
    ----------
    models : Models
    metrics : Metrics
    limits : Limits
    n_jobs : int
        Number of threads that predict.
    keys : Keys, default=None
        Of which a request must have one; None lets everybody in, and there is no /reload.
    protect : collection of {"metrics", "docs"}, default=()
        What needs a key beside predictions.
    lifespan : callable, default=None
        From the service to a context manager around the time that it runs.

    Attributes
    ----------
    stopping : Event
        Set when the service must not get more requests.
    active : int
        Number of requests that are being read or answered.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        limits: Limits,
        n_jobs: int,
        *,
        keys: Keys | None = None,
        protect: Collection[str] = (),
        lifespan: Callable[[Service], AbstractAsyncContextManager[None]] | None = None,
    ):
        self.stopping = Event()
        self.active = 0
        self.models = models
        self._metrics = metrics
        self._limits = limits
        self._workers = Workers(n_jobs, metrics)
        self._checking: asyncio.Task[None] | None = None
        self._page = (models.folder / "page.html").read_text()
        routes = [
            Route("/predict", self._predict, methods=["POST"]),
            Route("/embed", self._embed, methods=["POST"]),
            *([Route("/reload", self._reload, methods=["POST"])] if keys else []),
            Route("/", self._show_page),
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/metadata", self._metadata),
            Route("/metrics", self._write_metrics),
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
            *(Route(f"/docs/{name}", _send_file(name, kind)) for name, kind in _SWAGGER.items()),
        ]
        handlers: dict[Any, Any] = {Refusal: _refuse, HTTPException: _report_http, Exception: _report_failure}
        app = Starlette(
            routes=routes, exception_handlers=handlers, lifespan=None if lifespan is None else lambda _: lifespan(self)
        )
        app.router.redirect_slashes = False
        keyed = KEYED.union(*(PROTECTABLE[name] for name in protect)) if keys else frozenset()
        self._gate = Gate(app, models, metrics, {route.path for route in routes}, keyed, keys, self.stopping)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        await self._gate(scope, receive, send)

    def close(self) -> None:
        """Let the threads end."""
        self._workers.close()

    async def _predict(self, request: Request) -> Response:
        """Answer /predict."""
        labels = _access(request).model.labels
        if not labels:  # it only embeds
            raise HTTPException(404, "This model only embeds, and has no labels to predict. Ask /embed.")
        return await self._answer(request, labels, "predictions", _prediction)

    async def _embed(self, request: Request) -> Response:
        """Answer /embed."""
        return await self._answer(request, ["embedding"], "embeddings", _embedding)

    async def _health(self, _: Request) -> Response:
        """Answer /health: the process lives."""
        return JSONResponse({"status": "alive", "requests": self.active})

    async def _ready(self, request: Request) -> Response:
        """Answer /ready: the model answers."""
        model, failure = _access(request).model, self.models.failure
        status, error = "ready", ""
        try:
            await self._check(model)
        except TimeoutError:
            status, error = "failing", f"The model has not answered within {self._limits.timeout:g} seconds."
        except Exception as reason:
            status, error = "failing", f"{type(reason).__name__}: {reason}"
        content = {
            "status": "stopping" if self.stopping.is_set() else status,
            "error": error,
            "model": _identity(model),
            "reload": asdict(failure) if failure else None,
        }
        return JSONResponse(content, 200 if content["status"] == "ready" else 503)

    async def _metadata(self, request: Request) -> Response:
        """Answer /metadata."""
        model = _access(request).model
        manifest = {key: value for key, value in model.predictor.manifest.items() if key not in ("files", "sha256")}
        limits = {**asdict(self._limits), "max_pixels": model.predictor.max_pixels}
        return JSONResponse({"model": _identity(model), **manifest, "limits": limits})

    async def _write_metrics(self, request: Request) -> Response:
        """Answer /metrics."""
        content, kind = self._metrics.write(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": kind})

    async def _reload(self, _: Request) -> Response:
        """Answer /reload."""
        try:
            changed = await self.models.reload()
        except BundleError as error:
            raise Refusal("reload_refused", str(error)) from error
        return JSONResponse({"model": _identity(self.models.current), "changed": changed})

    async def _show_page(self, _: Request) -> Response:
        """Answer /."""
        return HTMLResponse(self._page, headers={"content-security-policy": _PAGE_POLICY, "cache-control": "no-cache"})

    async def _openapi(self, request: Request) -> Response:
        """Answer /openapi.json."""
        return JSONResponse(_access(request).model.schema, headers={"cache-control": "no-cache"})

    async def _docs(self, request: Request) -> Response:
        """Answer /docs: Swagger UI, whose files come from here too."""
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=_access(request).model.name,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.headers["content-security-policy"] = _DOCS_POLICY
        return page

    async def _check(self, model: Model) -> None:
        """Check a model, in one thread however many ask."""
        if self._checking is None:
            self._checking = asyncio.create_task(asyncio.to_thread(model.check))
            self._checking.add_done_callback(self._end_check)
        async with asyncio.timeout(self._limits.timeout):
            await asyncio.shield(self._checking)

    def _end_check(self, task: asyncio.Task[None]) -> None:
        self._checking = None  # it holds the model, which may be replaced
        if not task.cancelled():
            task.exception()  # who asked has it, if they still wait

    async def _answer(
        self,
        request: Request,
        names: Sequence[str],
        key: str,
        format_row: Callable[[Answer, Model], dict[str, Any]],
    ) -> Response:
        started = time.perf_counter()
        access = _access(request)
        with self._place_in_queue():
            columns = await access.model.reader.read(request)
            access.images = len(next(iter(columns.values())))
            self._metrics.observe("read", time.perf_counter() - started)
            answers = await self._workers.run(access.model, columns, names)
        seconds = time.perf_counter() - started
        self._metrics.observe("total", seconds)
        content = {key: [format_row(answer, access.model) for answer in answers], "seconds": round(seconds, 4)}
        if all(answer.error and not answer.outputs for answer in answers):
            too_large = all(answer.too_large for answer in answers)
            text = answers[0].error if len(answers) == 1 else f"None of {len(answers)} images can be used."
            raise Refusal("image_too_large" if too_large else "unusable_images", text, content=content)
        return JSONResponse(content)

    @contextmanager
    def _place_in_queue(self) -> Iterator[None]:
        if self.active >= self._limits.queue:
            text = f"Got more than {self.active} requests at once. Try again in a second."
            raise Refusal("queue_full", text, unread=True)
        self.active += 1
        self._metrics.active.set(self.active)
        try:
            yield
        finally:
            self.active -= 1
            self._metrics.active.set(self.active)


def _send_file(name: str, kind: str) -> Callable[[Request], Any]:
    path = Path(str(files("fastapi_offline") / "static" / name))

    async def send(_: Request) -> Response:
        return FileResponse(path, media_type=kind, headers={"cache-control": "max-age=86400"})

    return send


async def _refuse(request: Request, error: Refusal) -> ASGIApp:
    return answer_refusal(error, request.scope)


async def _report_http(request: Request, error: HTTPException) -> Response:
    _access(request).refused = _STATUS_REASONS.get(error.status_code, "malformed")
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _report_failure(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "The service failed. Its log says why."}, 500)


def _access(request: Request) -> Access:
    return request.scope["access"]


def _identity(model: Model) -> dict[str, str]:
    return {"name": model.name, "digest": model.digest}


def _prediction(answer: Answer, model: Model) -> dict[str, Any]:
    label = _finite(plain(np.array([answer.outputs["label"]]))[0]) if answer.outputs else None
    prediction = {"label": label, "probability": None, "probabilities": None, "error": answer.error}
    if "probabilities" in answer.outputs:
        of = dict(zip(model.classes, map(_finite, answer.outputs["probabilities"].tolist()), strict=True))
        prediction["probability"] = of[label]
        prediction["probabilities"] = {str(name): probability for name, probability in of.items()}
    return prediction


def _embedding(answer: Answer, _: Model) -> dict[str, Any]:
    embedding = _finite(answer.outputs["embedding"].tolist()) if answer.outputs else None
    return {"embedding": embedding, "error": answer.error}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None; in lists too."""
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
