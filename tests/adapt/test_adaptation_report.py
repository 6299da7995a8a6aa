from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits

import featx
from featx.adapt import adaptation_report
from featx.adapt._routing import domain_routing
from featx.exceptions import ImageWarning, InputError, MissingDependencyError, ParameterError, UnknownNameError
from featx.scores import proxy_a_distance
from tests.adapt.gaussians import draw_domain

SHALLOW = ("source", "standardize", "coral", "subspace", "ot")
DIGITS = load_digits()


def report_of(n=150, m=150, seed=0, moved=True, labelled=True, **parameters):
    (Zs, ys), (Zt, yt) = draw_domain(n, seed), draw_domain(m, seed + 100, moved=moved)
    given = {"methods": SHALLOW, "scorer": "entropy", "draws": 3, "verbose": 0, **parameters}
    return adaptation_report(Zs, ys, Zt, yt if labelled else None, **given)


def test_aligning_covariances_helps_where_they_were_stretched():
    report = report_of(methods=["coral"], scorer="circular", draws=5)
    assert report.word == "helps"
    assert report.verdict.startswith("helps: accuracy")
    assert report.summary.loc["coral", "difference_low"] > 0
    assert report.summary.loc["coral", "proxy_a"] < report.summary.loc["source", "proxy_a"]
    assert report.proxy_a.p_value < 0.01
    assert list(report.summary.index) == ["source", "coral", "oracle"]


@pytest.mark.parametrize("kind", [np.array, list, lambda y: y.astype(float)])
def test_whole_numbers_to_predict_are_refused_as_such(kind):
    (Zs, _), (Zt, _) = draw_domain(60, 0), draw_domain(60, 1)
    with pytest.raises(InputError, match=r"fewer than 5 rows\. .* no method here is for numbers to predict"):
        adaptation_report(Zs, kind(np.arange(60) + 18), Zt, verbose=0)


def test_a_tested_image_whose_copy_was_seen_is_warned_of_and_noted(tiny, crops):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    turned = [np.rot90(crop).copy() for crop in crops]
    given = {"methods": ["standardize"], "draws": 3, "encoder": encoder, "scorer": "entropy", "verbose": 0}
    y = np.repeat(["left", "right"], 20)
    assert not adaptation_report(crops, y, turned, y, **given).notes  # a warning would be an error
    with pytest.warns(ImageWarning, match=r"^[1-9] groups of copies .* Leave copies out with featx\.audit") as caught:
        report = adaptation_report(crops, y, [*crops[:9], *turned[9:]], y, **given)
    assert [w.filename for w in caught] == [__file__]
    assert report.notes == [str(caught[0].message)]


@pytest.mark.parametrize("seed", range(2))
def test_without_a_gap_no_method_is_said_to_help(seed, one_value):
    report = report_of(60, 60, seed=seed, moved=False)
    assert report.word != "helps"
    assert "In published benchmarks too" in report.verdict
    assert report.proxy_a.distance < 0.8


def test_without_labels_of_the_target_the_gain_stays_unknown():
    report = report_of(60, 60, labelled=False, methods=["standardize"])
    assert report.verdict.startswith("undecided: without labels of the target")
    assert list(report.summary.index) == ["source", "standardize"]
    assert report.summary["accuracy"].isna().all()
    assert report.summary[["unsupervised_score", "proxy_a"]].notna().all(axis=None)


def test_deep_methods_are_compared_too(one_value):
    summary = report_of(24, 24, methods=["dann", "deepcoral"]).summary
    assert list(summary.index) == ["source", "dann", "deepcoral", "oracle"]
    assert summary["accuracy"].notna().all()


@pytest.mark.parametrize("method", ["subspace", "dann"])
def test_the_same_seed_gives_the_same_report_again(method, one_value):
    one, two, other = (report_of(24, 24, methods=[method], random_state=seed).summary for seed in (1, 1, 2))
    assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))
    assert not one.drop(columns="seconds").equals(other.drop(columns="seconds"))


def test_images_are_compared_by_their_embeddings(tiny, tmp_path):
    images = (DIGITS.images * 255 / 16).astype(np.uint8)
    kept = np.flatnonzero(DIGITS.target < 2)[:80]
    bright, dark = kept[:40], kept[40:]
    encoder = featx.ImageEncoder(tiny, cache=tmp_path, verbose=0)
    report = adaptation_report(
        list(images[bright]),
        DIGITS.target[bright],
        list(255 - images[dark]),
        DIGITS.target[dark],
        ["standardize"],
        encoder=encoder,
        verbose=0,
    )
    assert report.summary.loc["standardize", "accuracy"] > report.summary.loc["source", "accuracy"]
    assert featx.EmbeddingStore(tmp_path).info()["rows"].sum() == 80


def test_metadata_routing_is_left_as_it_was():
    report_of(24, 24, methods=["standardize"])
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_the_recipe_of_the_docstring_runs_on_images(photos, tiny):
    recipe = adaptation_report.__doc__.partition("gives the names back::\n")[2].partition("    featx leaves")[0]
    Xs = [photo[i : i + 64, i : i + 64] for i in range(0, 240, 20) for photo in photos]
    ys, Xt = np.array(["flower", "temple"] * 12), [image // 2 for image in Xs]
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    report = adaptation_report(Xs, ys, Xt, ys, ["standardize"], encoder=encoder, draws=3, verbose=0)
    given = {"np": np, "sklearn": sklearn, "report": report, "Xs": Xs, "ys": ys, "Xt": Xt, "new": Xt[:6]}
    with domain_routing():  # switched off again behind it
        exec(textwrap.dedent(recipe), given)
    assert (given["labels"] == ys[:6]).mean() > 0.8


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"methods": ["corral"]}, UnknownNameError, "'coral'"),
        ({"methods": []}, ParameterError, "at least one"),
        ({"scorer": "circuler"}, UnknownNameError, "'circular'"),
        ({"draws": 2}, ParameterError, "draws=2"),
        ({"random_state": -1}, ParameterError, "random_state=-1"),
        ({"m": 11}, InputError, "Expected 12 or more"),
        ({"n": 6}, InputError, r"fewer than 3 rows\. Expected classes, each of draws=3 rows or more"),
    ],
)
def test_what_cannot_be_compared_is_said(changed, error, message):
    with pytest.raises(error, match=message):
        report_of(**changed)


@pytest.mark.parametrize("given", [{"draws": 2}, {"random_state": "a"}, {"methods": None}, {"scorer": "circuler"}])
def test_parameters_are_checked_before_anything_is_encoded(given):
    with pytest.raises(ParameterError):
        adaptation_report(["missing.jpg"], [0], ["missing.jpg"], **given)


def test_the_distances_before_and_after_are_of_the_same_rows():
    report = report_of(36, 36, methods=["standardize"])
    whole = proxy_a_distance(draw_domain(36, 0)[0], draw_domain(36, 100, moved=True)[0])
    assert report.proxy_a.distance == pytest.approx(report.summary.loc["source", "proxy_a"], abs=0.15)
    assert report.proxy_a.distance != whole.distance
    assert report.proxy_a.p_value == whole.p_value


@pytest.mark.parametrize("package", ["skada", "skorch"])
def test_a_missing_package_is_said_before_anything_is_encoded(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"featx\[adapt\]"):
        adaptation_report(["missing.jpg"], [0], ["missing.jpg"], methods=["dann"])
