from __future__ import annotations

import asyncio
import json
import warnings

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import featx
from featx.deploy.service._app import Service
from featx.deploy.service._metrics import Metrics
from featx.deploy.service._models import Models
from featx.deploy.service._request import REASONS, Limits
from featx.deploy.service._schema import Embedding, Prediction, describe_body
from tests.deploy.service.serving import as_base64, as_file, as_form, png_that_declares


def ask(app, path, method="POST", **body) -> httpx.Response:
    async def send():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **body)

    return asyncio.run(send())


def make_app(bundle, limits=None, **options):
    limits, metrics = limits or Limits(), Metrics(REASONS)
    models = Models(getattr(bundle, "folder", bundle), limits, metrics, **options)
    return Service(models, metrics, limits, n_jobs=2)


@pytest.fixture
def app():
    """A function from a bundle to its application, whose threads end with the test."""
    apps = []

    def make(bundle, **options):
        apps.append(make_app(bundle, **options))
        return apps[-1]

    yield make
    for made in apps:
        made.close()


def test_columns_come_as_form_fields_or_as_json(app, table_bundle, jpegs):
    values = {"price": [1.5, 2, 7], "colour": ["red", "green", "red"]}
    expected = featx.Predictor(table_bundle).predict_proba({"photo": jpegs[:3], **values})
    service = app(table_bundle)
    form = ask(service, "/predict", files=as_form(*jpegs[:3], name="photo"), data=values)
    table = {"photo": as_base64(*jpegs[:3]), **values}
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    apart = {"images": as_base64(*jpegs[:3]), "columns": values}
    named = {"images": {"photo": as_base64(*jpegs[:3])}, "columns": values}
    for response in (form, *(ask(service, "/predict", json=body) for body in (table, records, apart, named))):
        got = [list(row["probabilities"].values()) for row in response.json()["predictions"]]
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_value_that_cannot_be_used_is_its_rows_error(app, table_bundle, jpegs):
    values = {"price": [1, "cheap", None, 2], "colour": ["red", "green", "red", "blue"]}
    answer = ask(app(table_bundle), "/predict", json={"images": as_base64(*jpegs[:4]), "columns": values})
    errors = [row["error"] for row in answer.json()["predictions"]]
    assert errors[0] == ""
    assert "price" in errors[1]
    assert "price" in errors[2]
    assert "blue" in errors[3]


@pytest.mark.parametrize("price", [10**400, [1], {}, "1e999", True])
def test_any_value_of_json_gets_an_answer_without_nan(app, table_bundle, jpegs, price):
    body = {"images": as_base64(jpegs[0]), "columns": {"price": [price], "colour": ["red"]}}
    response = ask(app(table_bundle), "/predict", json=body)
    assert response.status_code in (200, 422)
    json.loads(response.text, parse_constant=pytest.fail)


def test_half_a_character_of_json_spoils_its_row_alone(app, table_bundle, jpegs):
    rows = [{"photo": photo, "price": 1, "colour": "red"} for photo in as_base64(*jpegs[:2])]
    content = json.dumps([rows[0], {**rows[1], "colour": "caf\udce9"}]).encode()
    answer = ask(app(table_bundle), "/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    good, bad = answer.json()["predictions"]
    assert good["error"] == ""
    assert "colour: got 'caf\\udce9', which is no text" in bad["error"]


@pytest.mark.parametrize("values", [{}, {"price": [1]}, {"price": [1, 2], "colour": ["red"]}])
def test_columns_that_are_absent_or_of_other_lengths_are_422(app, table_bundle, jpegs, values):
    response = ask(app(table_bundle), "/predict", json={"images": as_base64(jpegs[0]), "columns": values})
    assert response.status_code == 422
    assert "Expected" in response.json()["error"]


def test_a_class_that_is_a_number_stays_one(app, tiny, crops, jpegs, tmp_path):
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, np.arange(40) // 20)
    service = app(featx.export_bundle(model, tmp_path / "bundle").folder)
    (row,) = ask(service, "/predict", files=as_form(jpegs[0])).json()["predictions"]
    assert row["label"] in (0, 1)
    assert set(row["probabilities"]) == {"0", "1"}


def test_labels_of_object_dtype_are_answered(app, tiny, crops, jpegs, tmp_path):
    # As read_image_folder gives them.
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, np.array(["a", "bb"] * 20, object))
    answer = ask(app(featx.export_bundle(model, tmp_path / "bundle").folder), "/predict", files={"image": jpegs[0]})
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["label"] in ("a", "bb")


def test_the_probability_is_that_of_the_label(app, served_bundle, jpegs):
    rows = ask(app(served_bundle), "/predict", files=as_form(*jpegs[:10])).json()["predictions"]
    assert all(row["probability"] == row["probabilities"][row["label"]] for row in rows)


def test_a_bundle_that_embeds_has_no_predictions(app, tiny, crops, jpegs, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    service = app(featx.export_bundle(encoder.fit(crops), tmp_path / "bundle").folder)
    rows = ask(service, "/embed", files=as_form(*jpegs[:2])).json()["embeddings"]
    np.testing.assert_allclose([row["embedding"] for row in rows], encoder.transform(jpegs[:2]), atol=1e-5)
    refused = ask(service, "/predict", files=as_form(jpegs[0]))
    assert (refused.status_code, "Ask /embed" in refused.json()["error"]) == (404, True)
    assert "/predict" not in ask(service, "/openapi.json", "GET").json()["paths"]


def test_labels_of_several_outputs_are_lists(app, two_labels_bundle, tags_bundle, jpegs):
    for bundle in (two_labels_bundle, tags_bundle):
        rows = ask(app(bundle.folder), "/predict", files=as_form(b"no image", *jpegs[:3])).json()["predictions"]
        expected = [None, *featx.Predictor(bundle).predict(jpegs[:3]).tolist()]
        assert [row["label"] for row in rows] == expected
        assert {row["probability"] for row in rows} == {None}


def test_regression_and_missing_images_hold_no_nan(app, tiny, crops, jpegs, tmp_path):
    model = featx.image_pipeline("ridge", encoder=tiny, cache=False, verbose=0, on_missing="nan")
    service = app(featx.export_bundle(model.fit(crops, np.arange(40.0)), tmp_path / "bundle").folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = ask(service, "/predict", json={"images": [*as_base64(jpegs[0]), None]})
    rows = json.loads(response.text, parse_constant=pytest.fail)["predictions"]
    assert [row["probabilities"] for row in rows] == [None, None]
    assert isinstance(rows[1]["label"], float)  # the pipeline has a rule for missing ones
    assert "missing" in rows[1]["error"]


def test_a_failure_of_the_service_tells_clients_nothing_of_its_inside(app, served_bundle, jpegs, monkeypatch):
    service = app(served_bundle)
    monkeypatch.setattr(featx.Predictor, "_engine", None)
    response = ask(service, "/predict", files=as_form(jpegs[0]))
    assert response.status_code == 500
    assert response.json() == {"error": "The service failed. Its log says why."}
    assert response.headers["x-request-id"]
    assert service.active == 0


def test_a_model_that_no_longer_answers_is_not_ready_though_the_process_lives(app, served_bundle, monkeypatch):
    service = app(served_bundle)
    assert ask(service, "/ready", "GET").json()["status"] == "ready"
    monkeypatch.setattr(featx.Predictor, "_engine", None)
    service.models.current._answered = -100  # it has not answered for long
    response = ask(service, "/ready", "GET")
    assert (response.status_code, response.json()["status"]) == (503, "failing")
    assert "'NoneType'" in response.json()["error"]
    assert ask(service, "/health", "GET").json() == {"status": "alive", "requests": 0}


def test_a_service_that_stops_is_not_ready_and_lives(app, served_bundle):
    service = app(served_bundle)
    service.stopping.set()
    response = ask(service, "/ready", "GET")
    assert (response.status_code, response.json()["status"]) == (503, "stopping")
    assert ask(service, "/health", "GET").status_code == 200


def test_the_page_allows_no_foreign_script(app, served_bundle):
    response = ask(app(served_bundle), "/", "GET")
    assert response.text.startswith("<!doctype html>")
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_places_in_the_queue_are_given_back_whatever_comes(app, served_bundle, jpegs):
    service = app(served_bundle)
    for body in ({"files": as_form(jpegs[0])}, {"files": as_form(b"bad")}, {"content": b"x"}, {"json": {"images": 1}}):
        ask(service, "/predict", **body)
    assert service.active == 0


def test_answers_are_in_the_rows_order(app, served_bundle, jpegs):
    expected = featx.Predictor(served_bundle).predict(jpegs[:32])
    rows = ask(app(served_bundle), "/predict", files=as_form(*jpegs[:32])).json()["predictions"]
    assert [row["label"] for row in rows] == expected.tolist()


def test_a_bad_row_has_its_reason_and_no_label(app, served_bundle, jpegs):
    images = [*as_base64(b"text", jpegs[0]), None, "*"]
    rows = ask(app(served_bundle), "/predict", json={"images": images}).json()["predictions"]
    assert [row["label"] is None for row in rows] == [True, False, True, True]
    assert [row["error"].split(":")[0] for row in rows] == ["not an image", "", "missing (None)", "image"]


def test_more_pixels_than_the_limit_are_too_large(app, served_bundle):
    large = as_form(png_that_declares(20_000, 20_000))
    answer = ask(app(served_bundle, max_pixels=10_000_000), "/predict", files=large)
    assert answer.status_code == 413
    assert "400,000,000 pixels, more than the limit of 10,000,000" in answer.json()["error"]


def test_a_damaged_photo_of_many_pixels_is_a_row(app, served_bundle):
    broken = as_file(Image.effect_noise((2000, 1500), 50))[:20_000]
    answer = ask(app(served_bundle), "/predict", files=as_form(broken, broken))
    assert answer.status_code == 422
    assert all("damaged" in row["error"] for row in answer.json()["predictions"])


def test_labels_of_dates_are_text_as_their_probabilities_names_are(app, tiny, crops, jpegs, tmp_path):
    dates = np.repeat(np.array(["2024-01-01", "2024-06-01T12"], "datetime64[ns]"), len(crops) // 2)
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, dates)
    bundle = featx.export_bundle(model, tmp_path / "bundle")
    row = ask(app(bundle), "/predict", files=as_form(jpegs[0])).json()["predictions"][0]
    assert row["label"] == np.datetime_as_string(model.predict(jpegs[:1])[0], unit="auto")
    assert list(row["probabilities"]) == ["2024-01-01", "2024-06-01T12:00"]
    assert row["probability"] == row["probabilities"][row["label"]]


@pytest.mark.parametrize("missing", [None, np.nan], ids=repr)
def test_null_and_an_empty_field_are_the_missing_value_that_the_pipeline_was_fitted_with(
    missing, app, tiny, crops, jpegs, tmp_path
):
    table = pd.DataFrame({"photo": crops, "colour": pd.Series(["red", "green", missing, "red"] * 10, dtype=object)})
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    columns = make_column_transformer((encoder, "photo"), (OneHotEncoder(handle_unknown="ignore"), ["colour"]))
    # The label is whether the colour is missing.
    model = make_pipeline(columns, LogisticRegression(C=100)).fit(table, table["colour"].isna())
    service = app(featx.export_bundle(model, tmp_path / "bundle"))
    as_json = ask(service, "/predict", json={"images": as_base64(jpegs[0]), "columns": {"colour": [None]}})
    form = ask(service, "/predict", files=as_form(jpegs[0], name="photo"), data={"colour": ""})
    other = ask(service, "/predict", json={"images": as_base64(jpegs[0]), "columns": {"colour": ["nan"]}})
    expected = model.predict_proba(pd.DataFrame({"photo": jpegs[:1], "colour": pd.Series([missing], dtype=object)}))
    for response in (as_json, form):
        assert list(response.json()["predictions"][0]["probabilities"].values()) == pytest.approx(expected[0], abs=1e-4)
    assert other.json()["predictions"][0]["probabilities"]["True"] < expected[0, 1] - 0.1


def test_as_many_images_as_lie_side_by_side_are_served(app, tiny, crops, places, jpegs, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, combine="concat")
    pairs = [[one, other] for one, other in zip(crops, reversed(crops), strict=True)]
    model = make_pipeline(encoder, LogisticRegression()).fit(pairs, places)
    service = app(featx.export_bundle(model, tmp_path / "bundle"))
    assert ask(service, "/ready", "GET").json()["status"] == "ready"
    expected = pytest.approx(model.predict_proba([jpegs[:2]])[0], abs=1e-4)
    for body in ({"files": as_form(*jpegs[:2])}, {"json": [{"image": as_base64(*jpegs[:2])}]}):
        (prediction,) = ask(service, "/predict", **body).json()["predictions"]
        assert list(prediction["probabilities"].values()) == expected
    alone = ask(service, "/predict", files=as_form(jpegs[0]))
    assert (alone.status_code, alone.json()["error"]) == (422, "image 1: missing (None)")


def test_an_image_among_several_that_is_too_large_is_refused(app, tiny, crops, places, jpegs, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, combine="mean", on_error="nan")
    model = make_pipeline(encoder, LogisticRegression()).fit([[crop, crop] for crop in crops], places)
    service = app(featx.export_bundle(model, tmp_path / "bundle"), max_pixels=1_000_000)
    answer = ask(service, "/predict", files=as_form(jpegs[0], png_that_declares(2000, 1000)))
    assert answer.status_code == 413
    assert "2,000,000 pixels, more than the limit of 1,000,000" in answer.json()["error"]


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


def test_json_has_the_fields_of_the_form_as_columns_or_as_records():
    columns, records = content_of(IMAGE, PRICE, SHOP)["application/json"]["oneOf"]
    assert list(columns["properties"]) == ["photo", "price", "shop"]
    assert columns["properties"]["photo"]["items"]["contentEncoding"] == "base64"
    assert columns["properties"]["price"]["items"] == {"type": ["number", "null"]}
    assert columns["properties"]["shop"]["items"] == {"type": "string", "enum": ["east", "west"]}
    assert records["items"]["properties"]["shop"] == {"type": "string", "enum": ["east", "west"]}
    assert records["items"]["required"] == ["photo", "price", "shop"]


def test_an_image_alone_is_a_body_where_nothing_else_is_asked_for():
    assert {"image/*", "application/octet-stream"} < set(content_of(IMAGE))
    assert set(content_of(IMAGE, PRICE)) == {"multipart/form-data", "application/json"}


def test_several_images_a_row_are_described():
    several = {"name": "front", "kind": "image", "rows": "front_rows", "on_missing": "nan", "takes_none": True}
    content = content_of(several, {"name": "back", "kind": "image", "on_missing": "raise"}, PRICE)
    form = content["multipart/form-data"]
    assert {name: field["maxItems"] for name, field in form["properties"].items()} == {
        "front": 5,
        "back": 1,
        "price": 1,
    }
    assert form["required"] == ["back", "price"]
    columns, records = content["application/json"]["oneOf"]
    for front in (columns["properties"]["front"]["items"], records["items"]["properties"]["front"]):
        assert [one["type"] for one in front["anyOf"]] == [["string", "null"], "array"]
    assert columns["required"] == records["items"]["required"] == ["front", "back", "price"]


def test_two_uploads_and_several_files_of_one_are_answered_as_by_the_pipeline(
    app, tiny, goods, jpegs, places, tmp_path
):
    encoder = featx.ImageEncoder(tiny, cache=str(tmp_path / "store"), verbose=0, on_missing="nan")
    columns = make_column_transformer(
        (make_pipeline(clone(encoder).set_params(combine="mean"), SimpleImputer()), "photo"),
        (make_pipeline(encoder, SimpleImputer()), "back"),
        (StandardScaler(), ["price"]),
    )
    table = goods.assign(
        photo=[[one, goods["photo"][0]] for one in goods["photo"]], back=goods["photo"][::-1].to_list()
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    service = app(featx.export_bundle(model, tmp_path / "bundle"))
    both = pd.DataFrame({"photo": [jpegs[:2]], "back": [jpegs[5]], "price": [3.5]})
    without = pd.DataFrame({"photo": [jpegs[:1]], "back": pd.Series([None], dtype=object), "price": [3.5]})
    files = [*as_form(*jpegs[:2], name="photo"), *as_form(jpegs[5], name="back")]
    in_json = {"photo": [as_base64(*jpegs[:2])], "back": as_base64(jpegs[5])}
    for row, body in (
        (both, {"files": files, "data": {"price": "3.5"}}),
        (both, {"json": {"images": in_json, "columns": {"price": [3.5]}}}),
        (both, {"json": [{name: column[0] for name, column in in_json.items()} | {"price": 3.5}]}),
        (without, {"files": as_form(jpegs[0], name="photo"), "data": {"price": "3.5"}}),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", featx.FeatxWarning)
            expected = model.predict_proba(row)[0]
        (prediction,) = ask(service, "/predict", **body).json()["predictions"]
        assert list(prediction["probabilities"].values()) == pytest.approx(expected, abs=1e-4)
    assert prediction["error"] == "back: missing (None)"
    bad = ask(service, "/predict", files=[*files, *as_form(b"bad", name="photo")], data={"price": "3.5"})
    assert bad.status_code == 422
    assert bad.json()["error"].startswith("photo, image 2: not an image")


@pytest.fixture(scope="module")
def described(served_bundle):
    app = make_app(served_bundle)
    yield app
    app.close()


def test_the_description_names_every_answer(described):
    paths = ask(described, "/openapi.json", "GET").json()["paths"]
    assert set(paths) == {"/predict", "/embed", "/health", "/ready", "/metadata"}
    answers = paths["/predict"]["post"]["responses"]
    assert {"200", "401", "408", "413", "415", "422", "429"} == set(answers)
    assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Predictions")
    assert {"200", "503"} == set(paths["/ready"]["get"]["responses"])


def test_answers_are_as_described(described, jpegs):
    for path, key, model in (("/predict", "predictions", Prediction), ("/embed", "embeddings", Embedding)):
        rows = ask(described, path, files=as_form(jpegs[0], b"bad")).json()[key]
        assert all(model.model_validate(row, strict=True).model_dump() == row for row in rows)
