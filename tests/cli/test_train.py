from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

import featx
from featx.cli import main
from featx.cli._training import format_scores, train
from featx.evaluation import score, score_folds
from featx.exceptions import ImageWarning, InputError, UnknownNameError
from tests.cli.folders import number_folder
from tests.cli.processes import COMMAND, environment, featx_command
from tests.test_pipeline import photo_folder

SMALL = ["--encoder", "squeezenet1_1", "--weights", "random"]


@pytest.fixture
def folder(crops, tmp_path, monkeypatch) -> Path:
    """Six images of each of two labels."""
    monkeypatch.chdir(tmp_path)
    photo_folder(Path("photos"), crops, 12)
    return Path("photos")


def test_a_folder_becomes_scores_and_a_model_that_predicts(folder):
    done = featx_command("train", "photos/", "-o", "model/", "--cv", "3", *SMALL)
    assert (done.returncode, done.stderr) == (0, "Model: model\n")
    lines = done.stdout.splitlines()
    assert lines[0] == "12 images, 2 labels"
    assert lines[1].split() == ["images", "accuracy", "balanced_accuracy", "macro_f1", "seconds"]
    assert [line.split()[0] for line in lines[2:]] == ["fold"] * 3 + ["mean"]
    images = featx.read_image_folder(folder)["image"].tolist()
    assert set(featx.load("model").predict(images)) <= {"left", "right"}
    assert not os.path.exists("model-bad_images.csv")


def test_json_is_one_document(folder, capsys):
    assert main(["train", "photos", "-o", "model", "--cv", "2", "--head", "svm", "--json", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["head"], document["encoder"]) == ("model", "svm", "squeezenet1_1")
    assert document["labels"] == {"left": 6, "right": 6}
    assert len(document["folds"]) == 2
    assert document["mean"]["accuracy"] == pytest.approx(sum(fold["accuracy"] for fold in document["folds"]) / 2)
    assert document["bad_images"] == {"count": 0, "file": None}


@pytest.mark.filterwarnings("default")
def test_splits_are_scored_beside_the_folds(folder, capsys):
    Path("splits").mkdir()
    for split in ("train", "test"):
        shutil.copytree(folder, Path("splits", split))
    assert main(["train", "splits", "-o", "model", "--cv", "0", "--json", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["folds"], document["mean"]) == ([], {})
    assert document["splits"]["test"]["images"] == 12


@pytest.mark.filterwarnings("default")
def test_splits_of_other_names_are_named_and_images_without_a_label_left_out(folder, capsys):
    for split in ("first", "second"):
        shutil.copytree(folder, Path("splits", split))
    Path("splits", "rest").mkdir()
    shutil.copy(next(folder.glob("*/*")), "splits/rest/1.jpg")
    split = "first=train,second=test,rest=unlabeled"
    assert main(["train", "splits", "-o", "model", "--cv", "0", "--json", "--split", split, *SMALL]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == "featx: warning: Left out 1 images without a label."
    document = json.loads(told.out)
    assert document["labels"] == {"left": 6, "right": 6}
    assert document["splits"].keys() == {"test"}
    assert main(["train", "splits", "-o", "labels", "--cv", "0", "--split", "none", *SMALL]) == 0
    with pytest.raises(SystemExit):
        main(["train", "splits", "-o", "no", "--split", "first"])


def test_unreadable_images_are_listed_beside_the_model(folder, capsys):
    (folder / "left" / "a,b\nc.png").write_bytes(b"garbage")
    assert main(["train", "photos", "-o", "model", "--cv", "0", *SMALL]) == 0
    assert "unreadable images are left out: 1, listed in model-bad_images.csv" in capsys.readouterr().err
    with open("model-bad_images.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["image"] == "photos/left/a,b\nc.png"
    assert main(["train", "photos", "-o", "model", "--cv", "0", "--bad-images", "bad.csv", *SMALL]) == 0
    assert os.path.exists("bad.csv")


def test_fewer_folds_are_told(folder, capsys):
    assert main(["train", "photos", "-o", "model", "--cv", "9", *SMALL]) == 0
    assert "featx: warning: 6 folds instead of 9: 'left' has 6 readable images\n" in capsys.readouterr().err


def test_folders_named_by_numbers_are_predicted_where_it_is_said(crops, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number_folder(Path("photos"), crops, 12)
    assert main(["train", "photos", "-o", "model", "--cv", "3", *SMALL]) == 0
    assert "has one readable image. If these are numbers to predict, use --task regression\n" in capsys.readouterr().err
    assert main(["train", "photos", "-o", "model", "--cv", "3", "--task", "regression", "--json", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["head"], set(document["mean"])) == ("ridge", {"r2", "mae", "rmse", "seconds"})
    assert featx.load("model").predict([str(next(Path("photos").rglob("*.png")))]).dtype.kind == "f"


@pytest.mark.filterwarnings("default")
def test_copies_on_both_sides_of_a_fold_or_a_split_are_warned_of(folder, capsys):
    for path in list((folder / "left").iterdir()):
        shutil.copy(path, path.with_name(f"again-{path.name}"))
    assert main(["train", "photos", "-o", "model", "--cv", "2", *SMALL]) == 0
    err = capsys.readouterr().err
    assert "groups of copies" in err
    assert err.count("are on both sides of a fold: scores are too good. featx audit names them: leave") == 1
    for split in ("train", "test"):
        shutil.copytree(folder, Path("splits", split))
    assert main(["train", "splits", "-o", "model", "--cv", "0", *SMALL]) == 0
    assert "12 groups of copies (12 of equal content) are on both sides of a split" in capsys.readouterr().err


def test_a_folder_of_other_things_is_refused_before_the_training(folder, capsys):
    assert main(["train", "photos", "-o", "photos"]) == 2
    assert "holds something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "model"], "nowhere is not there"),
        (["empty", "-o", "model"], "holds no images"),
        (["photos/left", "-o", "model"], "lies in no label's folder"),
        (["photos", "-o", "nowhere/model"], "there is no folder"),
        (["photos", "-o", "file"], "which is a file"),
        (["photos", "-o", "."], "Expected the name of the folder"),
        (["photos", "-o", "model", "--bad-images", "nowhere/bad.csv"], "there is no folder"),
        (["photos", "-o", "model", "--cv", "1"], "Got --cv 1. Expected 2 folds or more, or 0."),
        (["photos", "-o", "model", "--head", "forest"], "Unknown head 'forest'"),
        (["photos", "-o", "model", "--encoder", "resnet19"], "Unknown encoder 'resnet19'"),
        (["photos", "-o", "model", "--head", "ridge", *SMALL], "predicts numbers"),
        (["photos", "-o", "model", "--task", "regression", *SMALL], "predicts numbers"),
        (["photos", "-o", "model", "--task", "regression", "--head", "svm"], "Got task='regression' with the head SVC"),
        (["photos", "-o", "model", "--task", "classification", "--head", "ridge"], "Expected a classifier"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(folder, arguments, message, capsys):
    Path("empty").mkdir()
    Path("file").touch()
    before = sorted(os.listdir())
    assert main(["train", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert sorted(os.listdir()) == before


def test_ctrl_c_leaves_no_model(folder, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "train", "photos", "-o", "model", "--cache", "store", *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    deadline = time.monotonic() + 600
    while (
        not Path("store").exists() and process.poll() is None and time.monotonic() < deadline
    ):  # until it begins to encode
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode in (130, -signal.SIGINT), err  # the latter from within exec(), as CPython has it
    assert out == ""
    assert "Traceback" not in err
    assert sorted(os.listdir()) == ["photos", "store"]


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
    X, y = expected["encoder"].transform(table["image"]), table["label"].to_numpy()
    folds = StratifiedKFold(3, shuffle=True, random_state=0)  # stratified, and the same ones at each call
    np.testing.assert_allclose(trained.folds["accuracy"], cross_val_score(expected[1:], X, y, cv=folds))


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
    with pytest.raises(InputError, match=r"predicts numbers, but a folder's name is not one: .*left"):
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


RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(60, 5)).astype("float32")
LABELS = np.where(EMBEDDINGS[:, 0] + RNG.normal(size=60) > 0, "cat", "dog")


def folds_of(n):
    return list(StratifiedKFold(n, shuffle=True, random_state=0).split(EMBEDDINGS, LABELS))


def test_folds_are_scored_as_scikit_learn_scores_them():
    table, _ = score_folds(LogisticRegression(), EMBEDDINGS, LABELS, folds_of(4))
    for name, scoring in (("accuracy",) * 2, ("balanced_accuracy",) * 2, ("macro_f1", "f1_macro")):
        expected = cross_val_score(LogisticRegression(), EMBEDDINGS, LABELS, cv=folds_of(4), scoring=scoring)
        np.testing.assert_allclose(table[name], expected)
    assert table.index.tolist() == ["fold 1", "fold 2", "fold 3", "fold 4"]
    assert table["images"].sum() == 60
    assert (table["seconds"] > 0).all()


def test_cross_validation_leaves_the_head_unfitted():
    head = LogisticRegression()
    score_folds(head, EMBEDDINGS, LABELS, folds_of(3))
    assert not hasattr(head, "coef_")


def test_a_label_that_a_split_lacks_is_no_warning():
    head = LogisticRegression().fit(EMBEDDINGS, LABELS)
    cats = LABELS == "cat"
    found = score(head, EMBEDDINGS[cats], LABELS[cats])
    predicted = head.predict(EMBEDDINGS[cats])
    assert (predicted == "dog").any()
    assert found["accuracy"] == found["balanced_accuracy"] == (predicted == "cat").mean()
    assert found["macro_f1"] == f1_score(LABELS[cats], predicted, average="macro", zero_division=0)


def test_the_rare_label_counts_as_much_in_balanced_accuracy():
    head = LogisticRegression().fit(EMBEDDINGS, LABELS)
    rows = np.r_[np.flatnonzero(LABELS == "cat"), np.flatnonzero(LABELS == "dog")[:3]]
    found = score(head, EMBEDDINGS[rows], LABELS[rows])
    assert found["balanced_accuracy"] == balanced_accuracy_score(LABELS[rows], head.predict(EMBEDDINGS[rows]))


def test_a_regressor_is_scored_by_its_errors():
    y = EMBEDDINGS[:, 0] * 2.0
    table, _ = score_folds(Ridge(1e-6), EMBEDDINGS, y, folds_of(3))
    assert (table["r2"] > 0.999).all()
    assert (table[["mae", "rmse"]] < 1e-2).all(axis=None)
    assert np.isnan(score(Ridge().fit(EMBEDDINGS, y), EMBEDDINGS[:1], y[:1])["r2"])


@pytest.mark.parametrize("n_splits", [0, 1])
def test_the_table_has_the_mean_and_deviation_after_the_folds(n_splits):
    folds, _ = score_folds(LogisticRegression(), EMBEDDINGS, LABELS, folds_of(2))
    splits = pd.DataFrame([{"images": 1234, "accuracy": 0.5, "balanced_accuracy": 1, "macro_f1": 0, "seconds": 0}])
    splits.index = ["test"]
    lines = format_scores(folds, splits[:n_splits]).splitlines()
    expected = ["images", "fold", "fold", "mean", "test"][: 4 + n_splits]
    assert [line.split()[0] for line in lines] == expected
    assert f"{folds['accuracy'].mean():.3f} +- {folds['accuracy'].std(ddof=0):.3f}" in lines[3]
    if n_splits:
        assert lines[4].split()[1:3] == ["1,234", "0.500"]


def test_splits_alone_are_a_table_too():
    splits = pd.DataFrame([{"images": 3, "accuracy": 0.5}], index=["test"])
    assert "mean" not in format_scores(pd.DataFrame(), splits)
