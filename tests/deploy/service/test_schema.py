from __future__ import annotations

import pytest

from featx.deploy._predictor import Predictor
from featx.deploy.service._memory import share
from featx.deploy.service._request import Limits
from featx.deploy.service._schema import Embedding, Prediction, describe_body
from featx.deploy.service._service import create_app
from tests.deploy.service.serving import as_form
from tests.deploy.service.test_service import ask

IMAGE = {"name": "photo", "kind": "image"}
PRICE = {"name": "price", "kind": "number", "missing": True, "known": None}
SHOP = {"name": "shop", "kind": "category", "missing": False, "known": ["east", "west"]}


def content_of(*inputs):
    body = describe_body(inputs, 5)["requestBody"]
    assert body["required"]
    return {kind: content["schema"] for kind, content in body["content"].items()}


def test_a_form_has_a_field_for_each_input():
    form = content_of(IMAGE, PRICE, SHOP)["multipart/form-data"]
    assert form["required"] == ["photo", "price", "shop"]
    assert form["properties"]["photo"]["items"] == {"type": "string", "format": "binary"}
    assert form["properties"]["photo"]["maxItems"] == 5


def test_json_has_images_and_columns_of_their_types():
    body = content_of(IMAGE, PRICE, SHOP)["application/json"]
    assert body["properties"]["images"]["type"] == "array"
    columns = body["properties"]["columns"]["properties"]
    assert columns["price"]["items"] == {"type": ["number", "null"]}
    assert columns["shop"]["items"] == {"type": "string", "enum": ["east", "west"]}


def test_images_alone_need_no_columns():
    assert list(content_of(IMAGE)["application/json"]["properties"]) == ["images"]


def test_several_columns_of_images_are_named():
    images = content_of(IMAGE, {"name": "back", "kind": "image"})["application/json"]["properties"]["images"]
    assert images["required"] == ["photo", "back"]


@pytest.fixture(scope="module")
def described(served_bundle):
    app = create_app(Predictor(served_bundle, n_jobs=1), Limits(), share(10**9, 10**8, 1))
    yield app
    app.state.service.close()


def test_the_description_names_every_answer(described):
    paths = ask(described, "/openapi.json", "GET").json()["paths"]
    assert set(paths) == {"/predict", "/embed", "/health", "/metadata"}
    answers = paths["/predict"]["post"]["responses"]
    assert {"200", "408", "413", "415", "422", "429"} == set(answers)
    assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Predictions")
    assert {"200", "503"} == set(paths["/health"]["get"]["responses"])


def test_answers_are_as_described(described, jpegs):
    for path, key, model in (("/predict", "predictions", Prediction), ("/embed", "embeddings", Embedding)):
        rows = ask(described, path, files=as_form(jpegs[0], b"bad")).json()[key]
        assert all(model.model_validate(row, strict=True).model_dump() == row for row in rows)
