"""Requests and answers of the service, as its OpenAPI description has them.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

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
