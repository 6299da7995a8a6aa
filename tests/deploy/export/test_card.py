"""A bundle's README.md and its manifest say what is known of the model, and what is not."""

from __future__ import annotations

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import featx
from featx._manifest import write_manifest
from featx.deploy._bundle import KIND
from featx.deploy.export._card import make_card, render
from featx.evaluation import ModelScores
from featx.exceptions import ParameterError


@pytest.fixture(scope="module")
def scores(model, crops, places, tiny) -> ModelScores:
    audited = featx.audit(crops, places, encoder=featx.ImageEncoder(tiny, cache=False), verbose=0)
    return featx.score_model(model, crops, places, cv=4, audit=audited)


@pytest.fixture(scope="module")
def scored(model, crops, scores, tmp_path_factory):
    return featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "scored", sample=crops, scores=scores)


def readme(bundle) -> str:
    return (bundle.folder / "README.md").read_text(encoding="utf-8")


def section(bundle, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", readme(bundle), re.S | re.M)
    return found[1] if found else ""


def test_the_manifest_has_the_scores_and_the_page_shows_them(scored, scores):
    kept = scored.manifest["card"]["scores"]
    assert kept == json.loads(json.dumps(scores.to_dict()))
    assert readme(scored).startswith("# An image classifier: `china`, `flower`\n")
    found = scores.summary["accuracy"]
    shown = f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
    assert f"Its accuracy in cross-validation is {shown}." in readme(scored)
    assert f"| accuracy | {shown} | " in section(scored, "Scores")
    assert "4 folds, shuffled (seed 0), with the same share of each class" in section(scored, "Scores")


def test_the_page_shows_data_encoder_agreement_and_versions(scored, scores):
    data = section(scored, "Data")
    assert "fitted on 40 rows" in data
    assert "| `china` | 20 |" in data
    assert scores.digest in data
    assert f"found {scores.audit['copies']:,} copies and near copies" in data
    assert "- `tiny" in section(scored, "Encoder")
    assert "100 % of the labels are equal" in section(scored, "Agreement with the pipeline")
    assert f"numpy {np.__version__}" in section(scored, "Versions")


def test_the_reliability_diagram_is_a_picture_with_a_circle_for_each_bin(scored, scores):
    assert "](calibration.svg)" in section(scored, "Calibration")
    drawing = ElementTree.parse(scored.folder / "calibration.svg").getroot()
    assert drawing.tag.endswith("svg")
    circles = drawing.findall("{*}circle")
    assert len(circles) == len(scores.reliability)
    first = scores.reliability[0]
    assert float(circles[0].get("cx")) == pytest.approx(56 + 264 * first["probability"], abs=0.1)
    assert float(circles[0].get("cy")) == pytest.approx(16 + 264 * (1 - first["right"]), abs=0.1)
    assert f"{100 * scores.calibration_error:.1f} % on average" in section(scored, "Calibration")


def test_what_was_not_measured_is_said(bundle, scored):
    limits = section(bundle, "Known limits")
    assert bundle.manifest["card"]["scores"] is None
    assert limits.startswith("\n- No scores were given: how often it is right was not measured.\n")
    for text in (
        "Nothing was told of the data",
        "Whether its probabilities are right was not measured",
        "Copies among its images, wrong labels and outliers were not looked for",
        "an image of none of them",
        "two built-in photos",
        "Under which license the weights of its encoder may be used was not told",
    ):
        assert text in limits
    assert not (bundle.folder / "calibration.svg").exists()
    assert section(bundle, "Scores") == section(bundle, "Calibration") == section(bundle, "Data") == ""
    measured = section(scored, "Known limits")
    assert "another camera, place or time" in measured
    for text in ("No scores", "Nothing was told", "not looked for", "built-in photos", "were too good"):
        assert text not in measured


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"copies": 3}, "3 groups of equal images are on both sides of a fold: its scores are too good"),
        ({"copies": 0}, "Near copies among its images, wrong labels and outliers were not looked for"),
        (
            {"rows": 30, "classes": {"a|b`<i>": 2, "c": 28}},
            "fewer than 20 images of 1 of its classes, such as `` a|b`<i> ``",
        ),
        ({"folds": {"accuracy": [0.5, 0.6]}}, "How the folds of its scores were made was not told"),
    ],
)
def test_what_is_no_good_news_is_said_too(bundle, known, said):
    card = make_card(bundle.manifest, ModelScores(**known), sampled=True)
    assert any(said in text for text in card["limits"])


def test_a_rounded_encoder_is_said_to_be_another_one_than_was_scored(bundle):
    card = make_card({**bundle.manifest, "quantize": "int8"}, None, sampled=True)
    assert any("rounded to int8 after the scores were measured" in text for text in card["limits"])


def test_names_of_classes_are_no_markdown(bundle):
    classes = {"dtype": "<U9", "values": ["a|b", "<b>bold</b>", "line\nbreak", "`tick`"]}
    scores = ModelScores(classes=dict.fromkeys(classes["values"], 30), rows=120)
    manifest = {**bundle.manifest, "classes": classes, "card": make_card(bundle.manifest, scores, sampled=True)}
    page = render(manifest)
    for row in ("| `a\\|b` | 30 |", "| `<b>bold</b>` | 30 |", "| `line break` | 30 |", "| `` `tick` `` | 30 |"):
        assert row in page


def test_numbers_of_folds_are_enough(model, crops, places, tmp_path):
    plain = cross_val_score(model, crops, places, cv=3)
    bundle = featx.export_bundle(model, tmp_path / "bundle", scores=plain)
    assert bundle.manifest["card"]["scores"]["folds"] == {"score": plain.tolist()}
    assert "Of folds, as they were given." in section(bundle, "Scores")
    with pytest.raises(ParameterError, match="Expected a number a fold"):
        featx.export_bundle(model, tmp_path / "other", scores="good")
    assert not (tmp_path / "other").exists()


def test_encoders_and_regressors_have_cards_too(tiny, crops, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    alone = featx.export_bundle(encoder, tmp_path / "encoder")
    assert readme(alone).startswith("# An image encoder\n")
    assert "scores" not in section(alone, "Known limits")
    assert "python predict.py photos/ -o embeddings.csv\n" in readme(alone)
    y = np.linspace(0, 10, len(crops))
    model = make_pipeline(encoder, Ridge()).fit(crops, y)
    bundle = featx.export_bundle(model, tmp_path / "numbers", scores=featx.score_model(model, crops, y, cv=3))
    assert "Its target goes from 0 to 10." in section(bundle, "Data")
    assert "| mean absolute error | " in section(bundle, "Scores")
    assert section(bundle, "Calibration") == ""
    assert "where label is the predicted number and probability is empty:" in readme(bundle)


def test_a_bundle_of_a_table_says_so(table_bundle):
    assert readme(table_bundle).startswith("# A classifier of an image and 2 other columns: `china`, `flower`\n")


def test_a_head_without_probabilities_says_nothing_of_how_sure_it_is(tiny, crops, places, tmp_path):
    from sklearn.svm import LinearSVC

    model = make_pipeline(featx.ImageEncoder(tiny, cache=False, verbose=0), LinearSVC()).fit(crops, places)
    bundle = featx.export_bundle(model, tmp_path / "bundle", scores=featx.score_model(model, crops, places, cv=2))
    assert "It gives no probabilities" in section(bundle, "Known limits")


def test_a_card_of_another_version_is_no_obstacle(bundle, crops, tmp_path):
    for card in ({"scores": {"of": "a later featx"}, "more": 1}, None):
        shutil.copytree(bundle, tmp_path / "copy", dirs_exist_ok=True)
        content = {
            name: value for name, value in bundle.manifest.items() if name not in ("format", "featx", "files", "sha256")
        }
        write_manifest(tmp_path / "copy", KIND, {**content, "card": card}, "9.9")
        assert len(featx.Predictor(tmp_path / "copy").predict(crops[:2])) == 2


def test_a_model_keeps_its_scores_and_the_bundle_takes_them(tiny, crops, places, tmp_path):
    from featx.persistence import read_scores

    model = make_pipeline(featx.ImageEncoder("squeezenet1_1", weights="random", verbose=0), LogisticRegression())
    model.fit(crops, places)
    featx.save(model, tmp_path / "model", scores={"accuracy": [0.9, 0.8]})
    assert read_scores(tmp_path / "model").folds == {"accuracy": [0.9, 0.8]}
    featx.save(featx.load(tmp_path / "model"), tmp_path / "plain")
    assert read_scores(tmp_path / "plain") is None
