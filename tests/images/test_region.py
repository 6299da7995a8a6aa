"""Cells that are a part of an image: a dict of an image and a box."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import featx
from featx.exceptions import ImageReadError, ImageWarning, InputError
from featx.images import is_missing, load, location_of

BOX = (40, 30, 60, 50)


@pytest.fixture
def file(crops, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(crops[0]).save(path)
    return path


@pytest.fixture
def encoder(tiny, store) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=store, verbose=0)


def part(pixels, box=BOX) -> np.ndarray:
    x, y, width, height = box
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


IMAGES = {
    "path": str,
    "Path": lambda file: file,
    "bytes": lambda file: file.read_bytes(),
    "open file": lambda file: io.BytesIO(file.read_bytes()),
    "pixels": lambda file: np.asarray(Image.open(file)),
    "PIL image": lambda file: Image.fromarray(np.asarray(Image.open(file))),
    "dict of a path": lambda file: {"bytes": None, "path": str(file)},
    "dict of bytes": lambda file: {"bytes": file.read_bytes(), "path": None},
    "URL": lambda file: file.as_uri(),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_part_of_any_image_is_embedded_as_that_part_alone(encoder, crops, file, kind):
    (row,) = encoder.transform([{"image": IMAGES[kind](file), "box": BOX}])
    np.testing.assert_array_equal(row, encoder.transform([part(crops[0])])[0])


@pytest.mark.parametrize("box", [list(BOX), np.array(BOX), np.array(BOX, float), (40.2, 29.8, 60.1, 49.9)])
def test_boxes_are_rounded_to_whole_pixels(encoder, crops, box):
    (row,) = encoder.transform([{"image": crops[0], "box": box}])
    np.testing.assert_array_equal(row, encoder.transform([part(crops[0])])[0])


def test_no_box_is_the_whole_image(encoder, crops, file):
    np.testing.assert_array_equal(encoder.transform([{"image": file, "box": None}]), encoder.transform([file]))


@given(st.tuples(*(st.integers(0, 159),) * 2), st.tuples(*(st.integers(0, 119),) * 2))
def test_each_box_inside_has_its_pixels_and_a_digest_of_its_own(across, down):
    pixels = np.random.default_rng(0).integers(0, 256, (121, 161, 3), dtype=np.uint8)
    (left, right), (upper, lower) = sorted(across), sorted(down)
    box = left, upper, right - left + 1, lower - upper + 1
    digest, image = load({"image": pixels, "box": box})
    np.testing.assert_array_equal(np.asarray(image), part(pixels, box))
    assert digest not in (load(pixels)[0], load({"image": pixels, "box": (0, 0, 161, 121)})[0])


def test_parts_of_a_file_are_encoded_once_each(encoder, file, caplog):
    boxes = [(0, 0, 50, 50), (50, 0, 50, 50), (0, 0, 50, 50)]
    cells = [{"image": file, "box": box} for box in boxes]
    caplog.set_level("INFO", "featx")
    first = encoder.transform([*cells, file])
    np.testing.assert_array_equal(encoder.transform([file, *cells]), first[[3, 0, 1, 2]])
    assert re.findall(r"encoded=(\d+)", caplog.text) == ["3", "0"]
    assert not np.array_equal(first[0], first[1])


def test_boxes_come_in_columns_of_pandas_polars_and_arrow(encoder, crops, file):
    cells = [{"image": str(file), "box": list(BOX)}] * 2
    expected = encoder.transform([part(crops[0])] * 2)
    arrow = pa.array(cells)
    for column in (pd.Series(cells), pl.Series(cells), arrow, pd.Series(pd.arrays.ArrowExtensionArray(arrow))):
        np.testing.assert_array_equal(encoder.transform(column), expected)


def test_the_root_is_that_of_the_images(tiny, crops, file):
    encoder = featx.ImageEncoder(tiny, root=file.parent, cache=False, verbose=0)
    got = encoder.transform([{"image": file.name, "box": BOX}])
    np.testing.assert_array_equal(got, encoder.transform([part(crops[0])]))


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((100, 30, 61, 50), r"the box \(100, 30, 61, 50\) is not inside the image, which is 160 x 120"),
        ((-1, 0, 10, 10), "is not inside"),
        ((0, 0, 0, 10), "a box of 0 x 10 pixels; expected at least 1 x 1"),
        ((0, 0, -5, 10), "a box of -5 x 10 pixels"),
        ((0, 0, 10), r"a box \(0, 0, 10\); expected 4 numbers, \(x, y, width, height\)"),
        ((0, 0, float("nan"), 10), "expected 4 numbers"),
        ("abcd", "expected 4 numbers"),
        (7, "expected 4 numbers"),
    ],
)
def test_a_bad_box_is_named(encoder, crops, file, box, reason):
    for image in (file, crops[0]):
        with pytest.raises(ImageReadError, match=reason):
            encoder.transform([crops[1], {"image": image, "box": box}])


def test_a_part_of_no_image_is_missing(tiny, crops):
    assert is_missing({"image": None, "box": BOX})
    assert not is_missing({"image": "a.png", "box": None})
    encoder = featx.ImageEncoder(tiny, on_missing="nan", cache=False, verbose=0)
    with pytest.warns(ImageWarning, match="missing"):
        rows = encoder.transform([{"image": None, "box": BOX}])
    assert np.isnan(rows).all()


def test_a_single_part_is_refused_as_a_single_image_is(encoder, file):
    with pytest.raises(InputError, match=r"\[image\]"):
        encoder.transform({"image": file, "box": BOX})


def test_a_part_has_the_location_of_its_image(file):
    assert location_of({"image": str(file), "box": BOX}) == str(file)


def test_a_bundle_takes_parts_too(tiny, crops, file, tmp_path):
    model = make_pipeline(featx.ImageEncoder(tiny, cache=False, verbose=0), LogisticRegression())
    model.fit(crops, np.repeat(["a", "b"], 20))
    featx.export_bundle(model, tmp_path / "bundle")
    cells = [{"image": str(file), "box": BOX}, {"image": crops[1], "box": BOX}]
    np.testing.assert_allclose(
        featx.Predictor(tmp_path / "bundle").predict_proba(cells), model.predict_proba(cells), atol=1e-5
    )


def test_a_file_that_changes_is_read_again(encoder, crops, file):
    cell = {"image": file, "box": BOX}
    encoder.transform([cell])
    Image.fromarray(crops[1]).save(file)
    np.testing.assert_array_equal(encoder.transform([cell]), encoder.transform([part(crops[1])]))
