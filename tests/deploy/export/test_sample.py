from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from featx.deploy.export._sample import builtin_sample
from featx.deploy.export._strip import strip


@pytest.fixture(scope="module")
def of_table(encoder, table, labels):
    columns = make_column_transformer(
        (encoder(), "photo"), (encoder(), "back"), (StandardScaler(), ["price"]), (OneHotEncoder(), ["colour", "shelf"])
    )
    return strip(make_pipeline(columns, LogisticRegression()).fit(table, labels))


def test_images_are_the_same_each_time_and_of_several_shapes(encoder, crops):
    stripped = strip(encoder().fit(crops))
    first, second = builtin_sample(stripped), builtin_sample(stripped)
    assert len(first) == 32
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {image.dtype for image in first} == {np.dtype(np.uint8)}
    assert {image.ndim for image in first} == {2, 3}
    assert len({image.shape[:2] for image in first}) > 10
    assert len({image.tobytes() for image in first}) == 32


def test_a_table_has_each_column_and_every_category(of_table):
    sample = builtin_sample(of_table)
    assert list(sample.columns) == ["photo", "back", "price", "colour", "shelf"]
    assert set(sample["colour"]) == {"red", "green", "blue"}
    assert set(sample["shelf"]) == {3, 5, 7, 9}
    assert sample["price"].dtype == np.float64
    assert sample["price"].nunique() > 5


def test_the_columns_of_images_differ_row_by_row(of_table):
    sample = builtin_sample(of_table)
    assert not any(np.array_equal(a, b) for a, b in zip(sample["photo"], sample["back"], strict=True))
