from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import featx
from featx.exceptions import ImageReadError, InputError, ParameterError
from featx.extraction import combine
from featx.images import ImageColumn, spread


@pytest.fixture
def encoder(tiny, store) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=store)


def rows_of(encoder, how, X) -> np.ndarray:
    return clone(encoder).set_params(combine=how).fit_transform(X)


@pytest.mark.parametrize(
    ("how", "reduce"), [("mean", lambda Z: Z.mean(axis=0)), ("max", lambda Z: Z.max(axis=0)), ("first", lambda Z: Z[0])]
)
def test_a_row_of_several_images_becomes_one_embedding(how, reduce, encoder, files):
    Z = encoder.transform(files)
    rows = rows_of(encoder, how, [files[:3], files[3], tuple(files[4:6]), [files[6]]])
    expected = [reduce(Z[:3]), Z[3], reduce(Z[4:6]), Z[6]]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    np.testing.assert_array_equal(rows[[1, 3]], Z[[3, 6]])  # of one image it is that of the image, bit for bit


def test_images_side_by_side_have_a_place_each(encoder, files):
    Z = encoder.transform(files[:5])
    side = clone(encoder).set_params(combine="concat", on_missing="nan").fit([files[:3], files[3:5]])
    with pytest.warns(
        featx.FeatxWarning, match=r"1 of 6 images cannot be used in their rows:\n  row 1, image 2: None: missing"
    ):
        rows = side.transform([files[:3], files[3:5]])
    np.testing.assert_array_equal(rows[0], Z[:3].ravel())
    np.testing.assert_array_equal(rows[1], np.concatenate([*Z[3:5], np.full_like(Z[0], np.nan)]))
    assert len(side.get_feature_names_out(["photo"])) == rows.shape[1] == 3 * Z.shape[1]
    with pytest.raises(InputError, match="Got 4 images in row 1"):
        side.transform([files[:1], files[:4]])


def test_images_side_by_side_are_counted_by_fit(encoder, files):
    side = clone(encoder).set_params(combine="concat")
    assert side.__sklearn_tags__().requires_fit
    with pytest.raises(NotFittedError):
        side.transform([files[:2]])
    with pytest.raises(ImageReadError, match=r"row 1, image 1: None: missing"):
        side.fit_transform([files[:2], files[:1]])


@pytest.fixture
def truncated(files, tmp_path) -> str:
    path = tmp_path / "truncated.jpg"
    path.write_bytes(Path(files[0]).read_bytes()[:2000])
    return str(path)


CONTAINERS = {
    "list": lambda cells: cells,
    "pandas object": lambda cells: pd.Series(cells, index=list("abcd")),
    "pandas Arrow": lambda cells: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells))),
    "polars List": lambda cells: pl.Series(cells),
    "pyarrow list": lambda cells: pa.array(cells),
    "numpy object": lambda cells: np.array([*(c and np.array(c, dtype=object) for c in cells), None], object)[:-1],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_lists_of_every_container_are_read(container, encoder, files):
    cells = [files[:2], None, [], files[2:3]]
    several = clone(encoder).set_params(combine="mean", on_missing="nan")
    with pytest.warns(featx.FeatxWarning, match=r"2 of 5 images cannot be used in their rows:\n  row 1: None"):
        rows = several.transform(CONTAINERS[container](cells))
    Z = encoder.transform(files[:3])
    np.testing.assert_allclose(rows[[0, 3]], [Z[:2].mean(axis=0), Z[2]], rtol=1e-6)
    assert np.isnan(rows[1:3]).all()


def test_a_bad_member_is_named_by_row_and_image(encoder, files, truncated):
    X = pd.Series([files[:2], [files[2], files[3], truncated], ["nowhere.jpg"]], index=["x", "y", "z"])
    with pytest.raises(
        ImageReadError, match=r"row 1, image 2: .*\n  row 2, image 0: 'nowhere.jpg': no such file"
    ) as raised:
        rows_of(encoder, "mean", X)
    table = raised.value.table
    assert table[["position", "image", "index"]].values.tolist() == [[1, 2, "y"], [2, 0, "z"]]


def test_a_row_counts_by_its_readable_images(encoder, files, truncated):
    tolerant = clone(encoder).set_params(on_error="nan", on_missing="nan")
    for how in ("mean", "max", "first"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", featx.FeatxWarning)
            rows = rows_of(tolerant, how, [[truncated, files[0], None], [truncated], [files[1]]])
        np.testing.assert_array_equal(rows[[0, 2]], encoder.transform(files[:2]))
        assert np.isnan(rows[1]).all()


def test_each_image_is_one_row_of_the_store(encoder, store, files):
    rows_of(encoder, "mean", [files[:3], files[1:4]])
    assert store.info()["rows"].sum() == 4


def test_lists_are_refused_where_they_are_not_asked_for(encoder, files):
    with pytest.raises(ImageReadError, match=r"a list of 2; expected one image. Several images a row are combined by"):
        encoder.transform([files[:2], files[2]])
    with pytest.raises(ParameterError, match="Unknown combine 'sum'"):
        clone(encoder).set_params(combine="sum").fit([files[:2]])


def test_layers_of_rows_of_several_images_are_combined_too(encoder, files):
    from featx._precompute import embed_layers

    several = clone(encoder).set_params(combine="mean")
    rows = embed_layers([files[:2], files[2:4]], several, ["conv1", "conv2"])
    for (layer, _), found in rows.items():
        expected = clone(several).set_params(layers=layer).transform([files[:2], files[2:4]])
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ParameterError, match="concat"):
        embed_layers([files[:2]], clone(encoder).set_params(combine="concat"))


def test_what_cannot_take_lists_says_so(encoder, files):
    several = clone(encoder).set_params(combine="mean")
    with pytest.raises(ParameterError, match="combine=None"):
        featx.FineTuneClassifier(several).fit([files[:2], files[2:4]], [0, 1])


def test_relative_paths_begin_at_the_root_in_lists_and_in_the_arrays_that_parquet_gives(encoder, files):
    folder, names = os.path.dirname(files[0]), [os.path.basename(file) for file in files[:3]]
    below = clone(encoder).set_params(root=folder, combine="mean")
    expected = clone(encoder).set_params(combine="mean").transform([files[:2], files[2:3]])
    for cells in (
        [names[:2], names[2:]],
        [np.array(names[:2], object), np.array(names[2:])],
        [tuple(names[:2]), names[2]],
    ):
        np.testing.assert_array_equal(below.transform(cells), expected)


def test_no_rows_are_no_rows(encoder):
    assert rows_of(encoder, "mean", []).shape == (0, len(encoder.get_feature_names_out()))


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(-9, 9, width=32)), max_size=4), min_size=1, max_size=6))
def test_combining_is_what_it_says_row_by_row(cells):
    column = spread(ImageColumn(cells))
    values = np.array([[np.nan if value is None else value] for value in column.sources], np.float32)
    assert [row for row, _ in column.places] == sorted(row for row, _ in column.places)
    for how, reduce in (("mean", np.mean), ("max", np.max), ("first", lambda known: known[0])):
        rows = combine(values, column.places, how)
        assert len(rows) == len(cells)
        for cell, row in zip(cells, rows[:, 0], strict=True):
            known = [value for value in cell if value is not None]
            np.testing.assert_allclose(row, reduce(np.array(known)) if known else np.nan, rtol=1e-6)
