"""A table by which a user chooses a precision with open eyes."""

from __future__ import annotations

import re

import numpy as np
import pytest

import featx
from featx.exceptions import FeatxWarning, ImageWarning, InputError, ParameterError, UnknownNameError
from tests.networks import TINY, Narrow, Unconvertible, wrap

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.usefixtures("short_timings")]


@pytest.fixture
def labelled(crops):
    """Crops of two photos: which photo?"""
    return crops, np.repeat([0, 1], 20)


def test_float32_is_itself_and_less_is_less(labelled, tiny):
    images, y = labelled
    encoder = featx.ImageEncoder(tiny, runtime="torch", device="cpu", cache=False)
    table = featx.compare_precisions(images, encoder, y, precisions=["bfloat16", "float32"], cv=4)
    assert table.index.tolist() == ["bfloat16", "float32"]
    assert table.loc["float32", "relative_l2_worst"] == 0
    assert table.loc["float32", "cosine"] == pytest.approx(1)
    assert 1e-5 < table.loc["bfloat16", "relative_l2"] <= table.loc["bfloat16", "relative_l2_worst"] < 0.1
    assert table.loc["bfloat16", "cosine"] < 1
    assert (table["images_per_second"] > 0).all()
    assert (table["note"] == "").all()


def test_the_score_is_that_of_cross_validating_the_pipeline(labelled, tiny):
    from sklearn.model_selection import KFold, cross_val_score

    images, y = labelled
    table = featx.compare_precisions(images, tiny, y, precisions=["float32"], head="ridge", cv=4)
    folds = KFold(4, shuffle=True, random_state=0)
    expected = cross_val_score(featx.image_pipeline("ridge", encoder=tiny), images, y, cv=folds)
    assert table.loc["float32", "score"] == pytest.approx(expected.mean(), abs=1e-5)
    assert table.loc["float32", "score_std"] == pytest.approx(expected.std(), abs=1e-5)


def test_whole_numbers_are_predicted_with_one_warning(crops, tiny):
    kilojoules = [int(crop.mean() * 37) for crop in crops]
    options = {"precisions": ["float32"], "cv": 4}
    with pytest.warns(FeatxWarning, match='Pass task="regression"') as caught:
        table = featx.compare_precisions(crops, tiny, kilojoules, **options)
    assert [w.filename for w in caught] == [__file__]
    ridge = featx.compare_precisions(crops, tiny, kilojoules, head="ridge", **options)  # a warning would be an error
    explicit = featx.compare_precisions(crops, tiny, kilojoules, task="regression", **options)
    assert table["score"].tolist() == ridge["score"].tolist() == explicit["score"].tolist()
    with pytest.raises(InputError, match=r'of class .* pass task="regression"'):
        featx.compare_precisions(crops, tiny, kilojoules, task="classification", **options)
    with pytest.raises(ParameterError, match="Got task='regression' with the head"):
        featx.compare_precisions(crops, tiny, kilojoules, head="svm", task="regression", **options)


def test_copies_on_both_sides_of_a_fold_are_warned_of(labelled, tiny):
    images, y = labelled
    images, y = [*images, *images[:9], b"junk", b"junk"], [*y, *y[:9], 1, 1]
    encoder = featx.ImageEncoder(tiny, on_error="nan", verbose=0)
    groups = [*range(40), *range(9), 98, 99]
    with pytest.warns(ImageWarning) as caught:
        featx.compare_precisions(images, encoder, y, precisions=["float32"], cv=4)
    (warning,) = [w for w in caught if "copies" in str(w.message)]
    # Unreadable images, whose rows are all NaN, do not count as copies.
    assert re.match(
        r"([1-9]) groups of copies \(\1 of equal content\) are on both sides of a fold", str(warning.message)
    )
    assert warning.filename == __file__
    with pytest.warns(ImageWarning) as caught:
        featx.compare_precisions(images, encoder, y, precisions=["float32"], cv=4, groups=groups)
    assert not [w for w in caught if "copies" in str(w.message)]


def test_an_unavailable_precision_has_its_reason_in_a_note(crops, tiny):
    encoder = featx.ImageEncoder(tiny, device="cpu")
    table = featx.compare_precisions(crops[:10], encoder, precisions=["float16", "float32"])
    assert "precision='float16'" in table.loc["float16", "note"]
    assert np.isnan(table.loc["float16", "images_per_second"])
    assert "score" not in table.columns


def test_int8_is_calibrated_on_the_images_given(crops, tiny):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    table = featx.compare_precisions(crops, tiny, precisions=["float32", "int8"])
    assert 0.9 < table.loc["int8", "cosine"] < 0.999999
    few = featx.compare_precisions(crops[:3], tiny, precisions=["int8"])
    assert "Expected at least 10" in few.loc["int8", "note"]


def test_bad_images_do_not_count(crops, tiny):
    encoder = featx.ImageEncoder(tiny, on_error="nan", on_missing="nan")
    with pytest.warns(featx.FeatxWarning):
        table = featx.compare_precisions([*crops[:10], b"junk"], encoder, precisions=["float32"])
    assert table.loc["float32", "cosine"] == pytest.approx(1)


def test_a_precision_in_which_numbers_overflow_has_a_note(crops):
    encoder = featx.ImageEncoder(wrap(Narrow()), runtime="torch", device="cpu", cache=False)
    table = featx.compare_precisions(crops[:12], encoder, precisions=["float32", "bfloat16"])
    assert "gives NaN or infinite numbers for 12 of 12 rows, in bfloat16" in table.loc["bfloat16", "note"]
    assert table.loc["float32", "note"] == ""


def test_a_network_that_openvino_cannot_take_has_a_note():
    encoder = featx.Encoder.from_module(Unconvertible(), preprocess=TINY)
    images = [np.full((32, 32, 3), 10 * i, np.uint8) for i in range(12)]
    with pytest.warns(featx.FeatxWarning, match="runs in torch"):
        table = featx.compare_precisions(
            images, featx.ImageEncoder(encoder, device="cpu"), precisions=["float32", "int8"]
        )
    assert table.loc["float32", "relative_l2"] == 0
    assert table.loc["int8", "note"] != ""


def test_wrong_arguments_are_named(crops, tiny):
    with pytest.raises(UnknownNameError, match="Did you mean 'float32'"):
        featx.compare_precisions(crops, tiny, precisions=["float3"])
    with pytest.raises(InputError, match="no readable image"):
        featx.compare_precisions([], tiny)
    with pytest.raises(InputError, match="Got 3 labels for 40 images"):
        featx.compare_precisions(crops, tiny, [0, 1, 0])
