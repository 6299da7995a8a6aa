from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.cli._training import train
from featx.exceptions import ImageWarning, InputError, UnknownNameError
from tests.test_pipeline import photo_folder


@pytest.fixture
def folder(crops, tmp_path) -> Path:
    """Six images of each of two labels."""
    photo_folder(tmp_path / "photos", crops, 12)
    return tmp_path / "photos"


@pytest.fixture
def parameters(tiny, store) -> dict:
    return {"encoder": tiny, "cache": store}


def test_a_model_is_fitted_on_all_images_and_scored_on_folds(folder, parameters):
    trained = train(str(folder), "logistic", 3, parameters)
    table = featx.read_image_folder(folder)
    expected = featx.image_pipeline("logistic", **parameters).fit(table["image"], table["label"])
    np.testing.assert_array_equal(trained.model["head"].coef_, expected["head"].coef_)
    assert trained.model.predict(table["image"]).tolist() == expected.predict(table["image"]).tolist()
    assert trained.labels == {"left": 6, "right": 6}
    assert (len(trained.folds), len(trained.splits), len(trained.bad), trained.notes) == (3, 0, 0, [])


def test_each_image_is_encoded_once_without_a_cache_too(folder, tiny, caplog):
    caplog.set_level("INFO", "featx")
    train(str(folder), "svm", 3, {"encoder": tiny, "cache": False})
    assert [record.getMessage().rpartition(" ")[0] for record in caplog.records if "rows=" in record.getMessage()] == [
        "rows=12 hits=0 encoded=12 failed=0"
    ]


def test_unreadable_images_are_left_out(folder, parameters):
    (folder / "left" / "aaa.png").write_bytes(b"garbage")
    trained = train(str(folder), "logistic", 2, parameters)
    assert trained.bad["image"].tolist() == [str(folder / "left" / "aaa.png")]
    assert "not an image" in trained.bad["error"].iloc[0]
    assert trained.labels == {"left": 6, "right": 6}


def test_of_splits_the_model_knows_train_alone(folder, parameters, tmp_path):
    for split, label, n in (("train", "left", 6), ("train", "right", 6), ("test", "left", 2), ("val", "right", 3)):
        (tmp_path / "splits" / split / label).mkdir(parents=True)
        for path in sorted((folder / label).iterdir())[:n]:
            shutil.copy(path, tmp_path / "splits" / split / label)
    with pytest.warns(ImageWarning, match=r"5 groups of copies \(5 of equal content\) are on both sides of a split"):
        trained = train(str(tmp_path / "splits"), "logistic", 3, parameters)
    assert trained.labels == {"left": 6, "right": 6}
    assert trained.folds["images"].sum() == 12
    assert trained.splits["images"].to_dict() == {"test": 2, "val": 3}
    whole = train(str(folder), "logistic", 3, parameters)
    np.testing.assert_array_equal(trained.model["head"].coef_, whole.model["head"].coef_)


def test_splits_without_train_are_refused(folder, parameters, tmp_path):
    (tmp_path / "splits").mkdir()
    shutil.copytree(folder, tmp_path / "splits" / "test")
    with pytest.raises(InputError, match=r"has the splits \['test'\]. Expected train"):
        train(str(tmp_path / "splits"), "logistic", 3, parameters)


def test_the_rarest_label_limits_the_folds(folder, parameters):
    for path in sorted((folder / "left").iterdir())[2:]:
        path.unlink()
    trained = train(str(folder), "logistic", 5, parameters)
    assert len(trained.folds) == 2
    assert trained.notes == ["2 folds instead of 5: 'left' has 2 readable images"]
    next((folder / "left").iterdir()).unlink()
    trained = train(str(folder), "logistic", 5, parameters)
    assert len(trained.folds) == 0
    assert trained.notes == ["no cross-validation: 'left' has one readable image"]


def test_labels_that_are_numbers_are_learned_as_numbers(folder, parameters):
    (folder / "left").rename(folder / "1.5")
    (folder / "right").rename(folder / "20")
    trained = train(str(folder), "ridge", 3, parameters)
    assert list(trained.folds)[1:4] == ["r2", "mae", "rmse"]
    assert 1 < trained.model.predict([str(next((folder / "20").iterdir()))])[0] < 21


def test_what_cannot_be_learned_is_refused(folder, parameters, tmp_path):
    with pytest.raises(InputError, match=r"predicts numbers, but a folder's name is none: .*left"):
        train(str(folder), "ridge", 3, parameters)
    with pytest.raises(UnknownNameError, match="Unknown head 'forest'"):
        train(str(folder), "forest", 3, parameters)
    shutil.rmtree(folder / "left")
    with pytest.raises(InputError, match=r"have the labels \['right'\]. Expected two"):
        train(str(folder), "logistic", 3, parameters)
    for path in (folder / "right").iterdir():
        path.write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"None of 6 images .* can be read\. For example: not an image"):
        train(str(folder), "logistic", 3, parameters)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").touch()
    with pytest.raises(InputError, match="lies in no label's folder"):
        train(str(tmp_path / "flat"), "logistic", 3, parameters)
