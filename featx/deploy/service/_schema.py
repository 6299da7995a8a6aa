"""What a service answers, and its interface as an OpenAPI document.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from ._request import may_lack, takes_several

_TYPES = {"number": "number", "integer": "integer", "category": "string"}
_KEYS = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
# What needs a key if the service has keys.
KEYED = frozenset({"/predict", "/embed", "/metadata", "/reload"})


class Prediction(BaseModel):
    """The answer for one row."""

    label: str | int | float | bool | list[str | int | float | bool | None] | None = Field(
        description="the class, or the value; of several outputs a list; null if there is an error"
    )
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
    """That the process lives."""

    status: str = Field(examples=["alive"])
    requests: int = Field(description="being read or answered")


class Identity(BaseModel):
    """Which model it is."""

    name: str
    digest: str = Field(description="SHA-256 over the bundle, in hex")


class RefusedReload(BaseModel):
    """Why the last reload was refused, while the model before it goes on."""

    time: str
    error: str


class Readiness(BaseModel):
    """Whether the model answers."""

    status: str = Field(examples=["ready", "failing", "stopping"])
    error: str = Field(description="why the model does not answer; empty if it does")
    model: Identity
    reload: RefusedReload | None = Field(description="null unless the last reload was refused")


class Reloaded(BaseModel):
    """The model that serves after a reload."""

    model: Identity
    changed: bool


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The service has API keys, and the request has none of them."},
    408: {"model": Problem, "description": "The request did not arrive in time."},
    413: {"model": NothingUsable, "description": "Above a limit, which the error names."},
    415: {"model": Problem, "description": "Neither a form, nor JSON, nor an image."},
    422: {"model": NothingUsable, "description": "Malformed, or no image could be used."},
    429: {"model": Problem, "description": "Too many requests at once; see Retry-After."},
}


def describe(
    name: str, version: str, inputs: Sequence[Mapping[str, Any]], predicts: bool, max_images: int, keyed: bool
) -> dict[str, Any]:
    """Describe the service of a model.

    Parameters
    ----------
    name, version : str
        The model's name, and the version of featx that it was exported by.
    inputs : sequence of mapping
        The bundle's inputs.
    predicts : bool
        Whether it predicts; if not, it only embeds.
    max_images : int
        Rows in a request.
    keyed : bool
        Whether the service has API keys: then it has /reload.

    Returns
    -------
    dict
        An OpenAPI document.
    """
    body = describe_body(inputs, max_images)
    post: dict[str, Any] = {"methods": ["POST"], "openapi_extra": body, "responses": _REFUSALS}
    routes = [_route("/embed", Embeddings, "Embed each image", **post)]
    if predicts:
        routes.insert(0, _route("/predict", Predictions, "Predict the label of each image", **post))
    not_ready = {503: {"model": Readiness, "description": "The model does not answer, or the service is stopping."}}
    no_key = {401: _REFUSALS[401]}
    refused = {**no_key, 409: {"model": Problem, "description": "The bundle cannot be used; the model goes on."}}
    routes += [
        _route("/health", Health, "Check that the process lives"),
        _route("/ready", Readiness, "Check that the model answers", responses=not_ready),
        _route("/metadata", None, "Describe the bundle and the limits", responses=no_key),
    ]
    if keyed:
        summary = "Take the bundle that lies in the service's folder now"
        routes.append(_route("/reload", Reloaded, summary, methods=["POST"], responses=refused))
    document = get_openapi(title=name, version=str(version), routes=routes)
    if keyed:
        document["components"]["securitySchemes"] = _KEYS
        for path in KEYED.intersection(document["paths"]):
            for operation in document["paths"][path].values():
                operation["security"] = [{scheme: []} for scheme in _KEYS]
    return document


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
    several = {entry["name"]: takes_several(entry) for entry in inputs if entry["kind"] == "image"}
    optional = [entry["name"] for entry in inputs if entry["name"] in several and may_lack(entry)]
    binary = {"type": "string", "format": "binary"}
    base64 = {"type": ["string", "null"], "contentEncoding": "base64", "description": "an image file"}
    either = {"anyOf": [base64, {"type": "array", "items": base64}]}

    def column(items: dict[str, Any], most: int = max_images) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": 1, "maxItems": most}

    values = {entry["name"]: _item(entry) for entry in inputs if entry["name"] not in several}
    # A form is one row where a field has all the images of a row.
    most = {name: 1 if any(several.values()) and not several.get(name) else max_images for name in [*several, *values]}
    form = {name: column(item, most[name]) for name, item in (dict.fromkeys(several, binary) | values).items()}
    json = {name: either if is_several else base64 for name, is_several in several.items()} | values
    columns = _object({name: column(item) for name, item in json.items()})
    records = column(_object(json))
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": _object(form, optional)},
        "application/json": {"schema": {"oneOf": [{**columns, "title": "columns"}, {**records, "title": "records"}]}},
    }
    if len(inputs) == 1:
        content |= {kind: {"schema": binary} for kind in ("image/*", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


def _route(path: str, model: type[BaseModel] | None, summary: str, **options: Any) -> APIRoute:
    async def operation() -> None: ...  # it is described here, and answered by _app.py

    return APIRoute(path, operation, response_model=model, summary=summary, name=path.strip("/"), **options)


def _item(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind = _TYPES[entry["kind"]]
    known = (
        {}
        if entry["known"] is None or entry.get("others")
        else {"enum": [*entry["known"], *([None] if entry["missing"] else [])]}
    )
    return {"type": [kind, "null"] if entry["missing"] else kind, **known}


def _object(properties: dict[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
