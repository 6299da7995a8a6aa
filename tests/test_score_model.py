from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

import featx
from featx.exceptions import InputError


@pytest.fixture
def model(tiny, store):
    return featx.image_pipeline(encoder=tiny, cache=store, verbose=0)


@pytest.fixture
def places(crops):
    return np.repeat(["china", "flower"], len(crops) // 2)


def test_a_model_is_scored_as_scikit_learn_scores_it(model, crops, places):
    scores = featx.score_model(model, crops, places, cv=4)
    from featx.evaluation import make_folds

    assert scores.folds["accuracy"] == cross_val_score(model, crops, places, cv=make_folds(places, 4)).tolist()
    assert (scores.rows, scores.classes, scores.copies) == (40, {"china": 20, "flower": 20}, 0)
    assert sum(entry["rows"] for entry in scores.reliability) == 40
    assert not hasattr(model[-1], "coef_")


def test_the_digest_is_of_images_and_labels_whatever_their_order_and_names(model, files, tmp_path):
    y = np.array(["a", "b"] * 6)
    digest = featx.score_model(model, files, y, cv=2).digest
    assert featx.score_model(model, files[::-1], y[::-1], cv=2).digest == digest
    for i, file in enumerate(files):
        (tmp_path / f"copy{i}.jpg").write_bytes(Path(file).read_bytes())
    copies = [str(tmp_path / f"copy{i}.jpg") for i in range(12)]
    assert featx.score_model(model, copies, y, cv=2).digest == digest
    assert featx.score_model(model, files, y[::-1], cv=2).digest != digest
    Image.new("RGB", (40, 40)).save(copies[0])
    assert featx.score_model(model, copies, y, cv=2).digest != digest


def test_equal_images_on_both_sides_of_a_fold_are_counted(model, files):
    y = np.array(["a", "b"] * 12)
    groups = np.tile(np.arange(12), 2)
    assert featx.score_model(model, files * 2, y, cv=3).copies > 0
    grouped = featx.score_model(model, files * 2, y, cv=3, groups=groups)
    assert grouped.copies == 0
    assert "with no group in both training and test" in grouped.how
    folds = LeaveOneGroupOut()
    assert featx.score_model(model, files * 2, y, cv=folds, groups=np.arange(24) % 3).how.startswith(
        "3 folds, as given"
    )


def test_an_audit_comes_along_and_a_table_is_scored_by_its_images(tiny, files, store):
    pytest.importorskip("skrub")
    audited = featx.audit(files, encoder=featx.ImageEncoder(tiny, cache=store), verbose=0)
    frame = pd.DataFrame({"photo": files, "weight": np.arange(12.0)})
    from sklearn.linear_model import Ridge

    model = featx.tabular_pipeline(Ridge(), image="photo", encoder=tiny, cache=store, verbose=0)
    scores = featx.score_model(model, frame, np.arange(12.0), cv=3, audit=audited)
    assert scores.audit == audited.counts
    assert (scores.target, scores.classes) == ([0.0, 11.0], None)
    assert scores.folds.keys() == {"r2", "mae", "rmse"}
    other = featx.score_model(model, frame, np.arange(12.0), cv=3, audit={"images": 12})
    assert other.audit == {"images": 12}


def test_too_few_rows_are_refused(model, files):
    with pytest.raises(InputError, match="for cv=5 folds"):
        featx.score_model(model, files[:4], ["a", "b"] * 2)
