from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from featx.exceptions import FeatxError, InputError
from featx.images import as_column, is_missing

PATHS = ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "images",
    [
        PATHS,
        tuple(PATHS),
        np.array(PATHS),
        np.array(PATHS, dtype=object),
        np.array(PATHS, dtype=object).reshape(2, 1),
        pd.Series(PATHS),
        pd.Series(PATHS, dtype=object),
        pd.Series(PATHS, dtype="category"),
        pd.Index(PATHS),
        pd.array(PATHS),
        pd.Categorical(PATHS),
        np.array(PATHS, dtype=np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else PATHS,
        pd.DataFrame({"photo": PATHS}),
        pl.Series(PATHS),
        pl.DataFrame({"photo": PATHS}),
    ],
    ids=lambda images: f"{type(images).__module__}.{type(images).__name__}",
)
def test_every_container_of_paths_is_read(images):
    column = as_column(images)
    assert list(column.sources) == PATHS
    assert len(column) == 2


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 5, 6, 1), (2, 5, 6, 3), (2, 5, 6, 4)])
def test_an_array_of_pixels_is_one_image_a_row(shape):
    sources = as_column(np.zeros(shape, np.uint8)).sources
    assert [source.shape for source in sources] == [shape[1:]] * 2


def test_names_and_labels_are_kept():
    series = pd.Series(PATHS, index=["x", "y"], name="photo")
    assert (as_column(series).name, as_column(series).label(1)) == ("photo", "y")
    frame = pd.DataFrame({"photo": PATHS}, index=[7, 9])
    assert (as_column(frame).name, as_column(frame).label(0)) == ("photo", 7)
    assert as_column(pl.Series("cover", PATHS)).name == "cover"
    assert as_column(pl.DataFrame({"cover": PATHS})).name == "cover"
    assert (as_column(PATHS).name, as_column(PATHS).label(1)) == (None, 1)
    assert as_column(pd.Series(PATHS)).name is None


@pytest.mark.parametrize(
    "image",
    [
        *("a.jpg", b"bytes", Path("a.jpg"), Image.new("RGB", (4, 4))),
        *(np.zeros((40, 60, *channels), np.uint8) for channels in ((), (1,), (3,), (4,))),
    ],
    ids=lambda image: f"{type(image).__name__}{getattr(image, 'shape', '')}",
)
def test_a_single_image_is_refused_with_what_to_do(image):
    with pytest.raises(InputError, match=r"Pass it in a list: \[image\]"):
        as_column(image)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4)), r"\(X \* 255\)"),
        (np.zeros((2, 4, 4), np.uint16), "X >> 8"),
        (np.zeros((4, 4), np.uint8), "Expected"),
        (np.zeros((2, 4, 4, 2), np.uint8), "Expected"),
        (np.zeros((2, 4, 4, 4, 4), np.uint8), "Expected"),
        (np.array([PATHS, PATHS]), r"\(n,\) or \(n, 1\)"),
        (pd.DataFrame({"a": PATHS, "b": PATHS}), "2 columns"),
        (pl.DataFrame({"a": PATHS, "b": PATHS}), "2 columns"),
        ({"a": 1}, "Got a dict"),
        (7, "Got a int"),
        (None, "Got a NoneType"),
        (np.array(["a.jpg"])[0:0].reshape(0, 2), r"\(n,\) or \(n, 1\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), "channels last"),
        (np.array([b"\xff\xd8"]), "a list of bytes"),
        (pl.LazyFrame({"photo": PATHS}), "Got a LazyFrame"),
        (pd.DataFrame(), "0 columns"),
        ((name for name in PATHS), "Got a generator"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_other_containers_are_refused_with_what_was_expected(images, message):
    with pytest.raises(InputError, match=message) as raised:
        as_column(images)
    assert all(isinstance(raised.value, kind) for kind in (FeatxError, TypeError, ValueError))


@pytest.mark.parametrize("images", [[], (), np.array([]), np.array([], dtype=object), pd.Series([], dtype=object)])
def test_no_images_are_an_empty_column(images):
    assert len(as_column(images)) == 0


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, ""], ids=repr)
def test_missing_values_are_recognised(value):
    assert is_missing(value)


@pytest.mark.parametrize("value", ["a.jpg", b"", 0, 1.5, np.zeros((2, 2), np.uint8), Path()], ids=repr)
def test_other_values_are_not_missing(value):
    assert not is_missing(value)


def test_missing_values_in_series_stay_in_their_rows():
    for series in (pd.Series(["a.jpg", None, np.nan, ""]), pl.Series(["a.jpg", None, None, ""])):
        assert [is_missing(source) for source in as_column(series).sources] == [False, True, True, True]


def test_sources_of_any_kind_share_a_column(crops):
    sources = ["a.jpg", Path("b.jpg"), b"bytes", Image.new("L", (2, 2)), crops[0], None]
    for images in (sources, tuple(sources), pd.Series(sources, dtype=object), pd.DataFrame({"x": sources})):
        assert all(got is given for got, given in zip(as_column(images).sources, sources, strict=True))
    array = np.empty((6, 1), object)
    array[:, 0] = sources
    assert all(got is given for got, given in zip(as_column(array).sources, sources, strict=True))


def test_duplicate_labels_and_names_that_are_no_text_are_kept():
    series = pd.Series(PATHS, index=["x", "x"], name=0)
    assert as_column(series).name == "0"
    assert [as_column(series).label(i) for i in range(2)] == ["x", "x"]


def test_a_subclass_of_a_series_or_a_frame_keeps_its_labels_and_its_name():
    class Photos(pd.Series):
        pass

    class Album(pd.DataFrame):
        pass

    for images in (Photos(PATHS, index=["x", "y"], name="photo"), Album({"photo": PATHS}, index=["x", "y"])):
        column = as_column(images)
        assert (list(column.sources), column.name, column.label(1)) == (PATHS, "photo", "y")


def test_bytes_in_a_polars_column_are_sources():
    assert list(as_column(pl.Series("photo", [b"one", None])).sources) == [b"one", None]
