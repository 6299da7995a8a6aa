from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import featx
from featx.exceptions import ImageWarning, InputError, ParameterError, UnknownNameError


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("a_1.jpg", "a_2.jpg", "a_b_1.jpg", "c/front.png", "c/back.png", "x_c_7.jpg", "7_1.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"")
    return tmp_path / "photos"


def attach(folder, keys, pattern, key="sku") -> list[list[str] | None]:
    table = featx.attach_images(pd.DataFrame({key: keys}), folder, key=key, pattern=pattern)
    return [paths and [Path(path).relative_to(folder).as_posix() for path in paths] for paths in table["image"]]


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_images_are_found_by_the_key_in_their_names(folder):
    assert attach(folder, ["a", "c"], "{sku}_*.jpg") == [["a_1.jpg", "a_2.jpg", "a_b_1.jpg"], None]
    assert attach(folder, ["c", "a"], "{sku}/*") == [["c/back.png", "c/front.png"], None]
    assert attach(folder, ["c"], "?_{sku}_*.jpg") == [["x_c_7.jpg"]]
    assert attach(folder, ["front"], "**/{sku}.png") == [["c/front.png"]]
    assert attach(folder, ["a_1"], "{sku}.jpg") == [["a_1.jpg"]]


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_a_file_is_of_the_longest_key_that_it_fits(folder):
    assert attach(folder, ["a", "a_b"], "{sku}_*.jpg") == [["a_1.jpg", "a_2.jpg"], ["a_b_1.jpg"]]
    assert attach(folder, ["c_7", "7", "x_c_7"], "*{sku}.jpg") == [None, None, ["x_c_7.jpg"]]


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_numbers_are_keys_as_they_are_written_and_rows_may_share_one(folder):
    assert attach(folder, [7, 8], "{sku}_*.jpg") == [["7_1.jpg"], None]
    assert attach(folder, [7.0, None], "{sku}_*.jpg") == [["7_1.jpg"], None]
    assert attach(folder, ["7", "7"], "{sku}_*.jpg") == [["7_1.jpg"], ["7_1.jpg"]]


def test_rows_without_images_and_images_without_rows_are_counted_in_one_warning(folder):
    with pytest.warns(ImageWarning, match=r"1 of 2 rows have no image: z. 5 images are of no row: 7_1.jpg, a_b_1"):
        attach(folder, ["a_b", "z", "a"][1:], "{sku}_?.jpg")


def test_frames_keep_their_kind_and_their_index(folder):
    table = pd.DataFrame({"sku": ["c"], "price": [1.5]}, index=["row"])
    with pytest.warns(ImageWarning):
        found = featx.attach_images(table, folder, key="sku", pattern="{sku}/*", column="photos")
    assert found.columns.tolist() == ["sku", "price", "photos"]
    assert found.index.tolist() == ["row"]
    assert table.columns.tolist() == ["sku", "price"]
    with pytest.warns(ImageWarning):
        frame = featx.attach_images(pl.DataFrame({"sku": ["c", "z"]}), folder, key="sku", pattern="{sku}/*")
    assert frame["image"].dtype == pl.List(pl.String)
    assert [len(paths) if paths is not None else 0 for paths in frame["image"]] == [2, 0]


def test_they_are_embedded_together(files, tiny):
    table = pd.DataFrame({"sku": ["00", "01"]})
    with pytest.warns(ImageWarning, match="10 images are of no row"):
        table = featx.attach_images(table, Path(files[0]).parent, key="sku", pattern="{sku}*")
    rows = featx.ImageEncoder(tiny, cache=False, combine="mean").transform(table["image"])
    assert (rows == featx.ImageEncoder(tiny, cache=False).transform(files[:2])).all()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"key": "sk"}, UnknownNameError, "Did you mean 'sku'"),
        ({"pattern": "*.jpg"}, ParameterError, r"to hold \{sku\} once"),
        ({"pattern": "{sku}{sku}"}, ParameterError, r"to hold \{sku\} once"),
        ({"column": "sku"}, ParameterError, "which the table has"),
        ({"pattern": "{sku}.gif"}, InputError, r"None of 7 images in .* fits '\{sku\}.gif'"),
    ],
)
def test_wrong_parameters_are_refused(parameters, error, message, folder):
    given = {"key": "sku", "pattern": "{sku}_*.jpg", **parameters}
    with pytest.raises(error, match=message):
        featx.attach_images(pd.DataFrame({"sku": ["a"]}), folder, **given)
    with pytest.raises(InputError, match="is not there"):
        featx.attach_images(pd.DataFrame({"sku": ["a"]}), folder / "nowhere", key="sku", pattern="{sku}")


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")
def test_a_key_need_be_no_text(folder):
    assert attach(folder, ["c"], "{0}/*", key=0) == [["c/back.png", "c/front.png"]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([{"sku": "a"}], "^Got a list. Expected a pandas or polars DataFrame"),
        (pl.DataFrame({"sku": ["a"]}).lazy(), r"^Got a LazyFrame.*pass X.collect\(\)"),
        (pd.DataFrame([["a", "b"]], columns=["sku", "sku"]), r"several columns of one name: \['sku'\]"),
    ],
)
def test_images_are_attached_to_a_frame_alone(table, message, folder):
    with pytest.raises(InputError, match=message):
        featx.attach_images(table, folder, key="sku", pattern="{sku}_*.jpg")
