from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import featx
from featx.adapt._domains import align_columns, check_spread, is_table, read_domains, read_table
from featx.exceptions import FeatxWarning, ImageWarning, InputError
from tests.adapt.gaussians import draw_domain

Zs, YS = draw_domain(12, 0)
Zt, YT = draw_domain(9, 1)
Z = np.random.default_rng(0).normal(size=(6, 3))
FRAME = pd.DataFrame(Z, columns=["a", "b", "c"])


@pytest.fixture
def encoder(tiny):
    return featx.ImageEncoder(tiny, cache=False, verbose=0)


def test_embeddings_are_taken_as_they_are(encoder):
    domains, *_ = read_domains(Zs, YS, pd.DataFrame(Zt), YT, encoder)
    np.testing.assert_array_equal(domains.Zs, Zs)
    np.testing.assert_array_equal(domains.Zt, Zt)
    assert domains.yt.tolist() == YT.tolist()
    assert domains.notes == []


def test_images_are_embedded_from_files_and_arrays_alike(encoder, files, crops):
    domains, *_ = read_domains(files[:6], ["a", "b"] * 3, crops[:4], None, encoder)
    assert domains.Zs.shape == (6, 8)
    np.testing.assert_allclose(domains.Zt, encoder.transform(crops[:4]))
    assert domains.yt is None


def test_labels_of_any_kind_are_numbered_alike_in_both_domains(encoder):
    names = np.array(["cat", "dog", "emu"])
    domains, *_ = read_domains(Zs, names[YS], Zt, pd.Series(names[YT], dtype="category"), encoder)
    assert domains.classes.tolist() == ["cat", "dog", "emu"]
    np.testing.assert_array_equal(domains.ys, YS)
    np.testing.assert_array_equal(domains.yt, YT)


def test_bad_images_are_left_out_with_a_note_and_a_warning(encoder, crops):
    images = [*crops[:5], "missing.jpg"]
    with pytest.warns(ImageWarning, match=r"1 of 6 rows of the target .* Rows 5\.") as warned:
        domains, *_ = read_domains(crops[:4], [0, 1, 0, 1], images, [0, 1, 0, 1, 1, 0], encoder)
    assert len(warned) == 1
    assert domains.yt.tolist() == [0, 1, 0, 1, 1]
    assert domains.notes == ["1 of 6 rows of the target cannot be used and are left out."]


def test_columns_of_frames_are_compared_by_name(encoder):
    source, target = pd.DataFrame(Zs, columns=[*"abcdefgh"]), pd.DataFrame(Zt, columns=[*"abcdefgh"])
    domains, *_ = read_domains(source, YS, target[[*"hgfedcba"]], None, encoder)
    np.testing.assert_array_equal(domains.Zt, Zt)


def test_rows_that_are_not_finite_are_left_out(encoder):
    damaged = Zs.copy()
    damaged[[2, 7], 0] = np.nan, np.inf
    with pytest.warns(ImageWarning, match="2 of 12 rows of the source"):
        domains, source_rows, target_rows = read_domains(damaged, YS, Zt, None, encoder)
    np.testing.assert_array_equal(domains.ys, np.delete(YS, [2, 7]))
    np.testing.assert_array_equal(source_rows, np.delete(np.arange(12), [2, 7]))
    np.testing.assert_array_equal(target_rows, np.arange(9))


def test_a_class_that_the_source_lacks_is_warned_of_and_never_right(encoder):
    with pytest.warns(FeatxWarning, match=r"1 of the target's 3 classes are not in the source \(2\)"):
        domains, *_ = read_domains(Zs, np.minimum(YS, 1), Zt, YT, encoder)
    assert domains.classes.tolist() == [0, 1, 2]
    assert set(domains.yt) - set(domains.ys) == {2}
    assert "count as wrong" in domains.notes[0]


def test_a_class_that_the_target_lacks_is_noted(encoder):
    domains, *_ = read_domains(Zs, YS, Zt, np.minimum(YT, 1), encoder)
    assert domains.notes[0].startswith("1 of the source's 3 classes are not in the target (2)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((Zs, YS, Zt, YT + 3), r"classes 0, 1, 2 in the source and 3, 4, 5 in the target: they share none"),
        ((Zs, YS, Zt, YT.astype(str)), "they share none"),
        ((Zs, np.zeros(12), Zt, YT), "In the source: Got y with one class"),
        ((Zs, YS, Zt, np.zeros(9)), "In the target: Got y with one class"),
        ((Zs, YS[:-1], Zt, YT), r"In the source: Got y of shape \(11,\) for 12 rows"),
        ((Zs, YS, Zt, YT[:-1]), r"In the target: Got y of shape \(8,\) for 9 rows"),
        ((Zs, YS, Zt[:, :5], YT), "Got 8 columns in X_source and 5 in X_target"),
        ((Zs, YS, np.full((9, 8), np.nan), YT), "9 rows in the target of which none can be used"),
        ((Zs, YS, "photo.jpg", YT), "a single str"),
        ((Zs, [None, *YS[1:]], Zt, YT), "no label in rows 0"),
        ((Zs[:0], [], Zt, YT), "In the source: Got y with no label"),
        ((Zs, YS, Zt[:0], None), "no rows in the target"),
        ((Zs, YS, ["photo.jpg"] * 9, YT), "embeddings in X_source and images in X_target"),
        ((["photo.jpg"] * 12, YS, Zt, YT), "images in X_source and embeddings in X_target"),
    ],
)
def test_what_cannot_be_compared_is_an_error(given, message, encoder):
    with pytest.raises(InputError, match=message):
        read_domains(*given, encoder)


def test_a_source_whose_second_class_cannot_be_read_is_refused(encoder):
    damaged = Zs.copy()
    damaged[YS > 0] = np.nan
    with pytest.warns(ImageWarning), pytest.raises(InputError, match="one class only"):
        read_domains(damaged, YS, Zt, None, encoder)


@pytest.mark.parametrize("X", [Z, Z.astype("float16"), np.arange(6).reshape(2, 3), FRAME, pl.DataFrame(Z)], ids=type)
def test_numbers_in_rows_and_columns_are_embeddings(X):
    assert is_table(X)
    np.testing.assert_array_equal(read_table(X, "source"), np.asarray(X, np.float64))


@pytest.mark.parametrize("X", [["a.jpg"], np.zeros((4, 4), np.uint8), FRAME[["a"]], pl.DataFrame({"a": ["b.jpg"]}), []])
def test_everything_else_holds_images(X):
    assert not is_table(X)


@pytest.mark.parametrize("X", [Z.tolist(), list(Z), tuple(map(tuple, Z))], ids=["lists", "arrays", "tuples"])
def test_a_list_of_rows_is_refused_with_what_to_do(X):
    with pytest.raises(InputError, match=r"Expected images, or embeddings: np.array\(X\)"):
        is_table(X)


def test_missing_numbers_are_nan():
    holes = FRAME.astype("Float64").mask(FRAME > 1)
    np.testing.assert_array_equal(np.isnan(read_table(holes, "source")), Z > 1)
    assert (Z > 1).any()
    assert np.isnan(read_table(pl.DataFrame({"a": [1, None], "b": [1.0, 2.0]}), "source")[1, 0])


@pytest.mark.parametrize("frame", [FRAME.assign(file="a.jpg"), pl.DataFrame({"a": [1.0], "file": ["a.jpg"]})])
def test_a_column_of_text_is_refused(frame):
    with pytest.raises(InputError, match=r"a column in the target that does not hold numbers .*'a.jpg'"):
        read_table(frame, "target")


@pytest.mark.parametrize("frame", [FRAME, pl.DataFrame(Z, schema=["a", "b", "c"])], ids=type)
def test_columns_are_brought_into_the_sources_order(frame):
    np.testing.assert_array_equal(np.asarray(align_columns(FRAME, frame[["c", "a", "b"]])), Z)


def test_other_names_are_refused_and_arrays_have_none():
    with pytest.raises(InputError, match=r"columns in X_target that X_source does not have, or names twice \(d\)"):
        align_columns(FRAME, FRAME.rename(columns={"c": "d"}))
    with pytest.raises(InputError, match="names twice"):
        align_columns(FRAME[["a", "b", "b"]], FRAME[["b", "a", "a"]])
    np.testing.assert_array_equal(align_columns(FRAME, Z), Z)


@pytest.mark.parametrize(("rows", "message"), [(np.ones((6, 3)), "the same embedding"), (Z * 1e200, "divide both")])
def test_rows_without_information_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        check_spread(rows, "source")
    check_spread(Z, "source")
