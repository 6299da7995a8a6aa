"""compare_columns: a table with and without its photos, on the same folds, and what each column is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ShuffleSplit

import featx
from featx.exceptions import InputError, ParameterError
from tests.table.goods import make_goods
from tests.table.test_table_encoder import Hinting


@pytest.fixture
def goods():
    return make_goods()


@pytest.fixture
def encoder(tiny, store) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=store, verbose=0)


def compare(X, y, encoder, **parameters) -> featx.ColumnReport:
    given = {"image": "photo", "encoder": encoder, "cv": 4, "n_repeats": 2, "verbose": 0, **parameters}
    return featx.compare_columns(X, y, **given)


def test_a_photo_that_shows_what_counts_helps(goods, encoder, store):
    frame, brightness = goods
    report = compare(frame, brightness + 0.2 * frame["weight"], encoder)
    assert report.decision == "helps"
    assert list(report.summary.index) == ["table only", "image only", "both"]
    assert report.summary["score"].idxmax() == "both"
    assert (report.summary["low"] <= report.summary["score"]).all()
    assert list(report.differences.index) == ["both - table only", "both - image only"]
    assert (report.differences["low"] > 0).all()
    assert list(report.importance.index[:2]) == ["photo", "weight"]
    assert report.importance["drop"]["photo"] > 0.5
    assert report.importance["drop"].abs()["kind"] < 0.1
    assert store.info()["rows"].tolist() == [len(frame)]  # permuted photos are found in the store
    assert "The photo helps: R2" in report.verdict
    assert "both - table only" in repr(report)


def test_a_photo_that_shows_nothing_is_undecided_and_worth_nothing(goods, encoder):
    frame, _ = goods
    report = compare(frame, frame["weight"] + 0.1 * np.sin(np.arange(60)), encoder)
    assert report.decision == "undecided"
    assert abs(report.differences["difference"]["both - table only"]) < 0.02
    assert abs(report.importance["drop"]["photo"]) < 0.05


def test_classes_groups_and_a_target_aware_encoder(goods, encoder):
    frame, brightness = goods
    y = np.where(brightness > 0.5, "bright", "dark")
    groups = np.arange(60) // 2
    report = compare(frame, y, encoder, groups=groups, estimator=LogisticRegression(), target_aware=Hinting())
    assert list(report.summary.index)[-1] == "both, target-aware"
    assert list(report.differences.index)[-1] == "both, target-aware - both"
    assert report.scoring == "accuracy"
    assert report.decision == "helps"


def test_it_takes_scorers_splitters_logarithms_and_polars(goods, encoder, tmp_path):
    frame, brightness = goods
    paths = [str(tmp_path / f"{i}.png") for i in range(len(frame))]
    for path, pixels in zip(paths, frame["photo"], strict=True):
        Image.fromarray(pixels).save(path)
    table = pl.DataFrame({"photo": paths, "weight": frame["weight"].tolist()})
    parameters = {"scoring": "neg_mean_absolute_error", "cv": ShuffleSplit(3, random_state=0), "target": "log"}
    report = compare(table, np.exp(brightness), encoder, estimator=Ridge(), **parameters)
    assert report.n_folds == 3
    assert report.scoring == "neg_mean_absolute_error"
    assert report.importance.index[0] == "photo"


def test_a_category_that_is_new_in_a_fold_is_no_news(goods, encoder):
    frame, brightness = goods
    kinds = np.where(np.arange(len(frame)) % 2, "bag", "box").astype(object)
    kinds[0] = "jar"
    assert compare(frame.assign(kind=kinds), brightness, encoder, n_repeats=1).decision == "helps"


def test_whole_numbers_in_logarithms_are_numbers(goods, encoder):
    frame, brightness = goods
    report = compare(frame, np.rint(100 * brightness).astype(int), encoder, target="log", cv=3, n_repeats=1)
    assert report.scoring == "R2"


def test_the_same_seed_gives_the_same_report(goods, encoder):
    frame, brightness = goods
    first, second = (compare(frame, brightness, encoder, cv=3, n_repeats=1).importance for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_it_has_a_page(goods, encoder, tmp_path):
    frame, brightness = goods
    page = compare(frame, brightness, encoder, cv=3).to_html(tmp_path / "page.html").read_text()
    assert "What is the photo worth?" in page
    assert "both - table only" in page


def test_shuffled_labels_gain_nothing(goods, encoder):
    """Over seeded draws no set of columns is above chance."""
    frame, brightness = goods
    scores = [
        compare(frame, np.random.default_rng(seed).permutation(brightness), encoder, cv=3, n_repeats=1).summary["score"]
        for seed in range(4)
    ]
    table = pd.concat(scores, axis=1)
    error = table.std(axis=1) / np.sqrt(table.shape[1])
    assert (table.mean(axis=1) - 2 * error < 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [1, None] * 30}, "no group in 30 of 60 rows: rows 1, 3"),
        ({"groups": [1, 2]}, "one group a row"),
        ({"groups": [0] * 30 + [1] * 30}, "groups for cv=4"),
        ({"y": np.where(np.arange(60) == 9, np.nan, 0.5)}, "rows 9"),
        ({"y": ["same"] * 60}, "one|1 class"),
        ({"y": ["a"] * 58 + ["b"] * 2}, "Got 2 images of class 'b' for cv=4"),
        ({"y": ["a"] * 30 + ["b"] * 30, "groups": [0] * 30 + list(range(1, 31))}, "class 'a'"),
        ({"image": "picture"}, r"Expected also \['picture'\]"),
        ({"image": ["photo", "weight", "kind"]}, "columns of both kinds"),
        ({"X": [1, 2]}, "Got a list"),
        ({"n_repeats": 0}, "n_repeats"),
        ({"cv": 2}, "cv=2"),
    ],
)
def test_what_is_wrong_is_named(goods, encoder, change, message):
    given = {"X": goods[0], "y": goods[1], **change}
    with pytest.raises((InputError, ParameterError), match=message):
        compare(given.pop("X"), given.pop("y"), encoder, **given)
