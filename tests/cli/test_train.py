from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import featx
from featx.cli import main
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


def test_splits_of_other_names_are_named_and_images_without_a_label_left_out(folder):
    for split in ("first", "second"):
        shutil.copytree(folder, Path("splits", split))
    Path("splits", "rest").mkdir()
    shutil.copy(next(folder.glob("*/*")), "splits/rest/1.jpg")
    split = "first=train,second=test,rest=unlabeled"
    done = featx_command("train", "splits", "-o", "model", "--cv", "0", "--json", "--split", split, *SMALL)
    assert done.stderr.splitlines()[0] == "featx: warning: Left out 1 images without a label."
    document = json.loads(done.stdout)
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
    assert err.count("are on both sides of a fold: scores are too good. Pass groups=featx.audit(X).groups") == 1
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
    deadline = time.monotonic() + 60
    while not Path("store").exists() and time.monotonic() < deadline:  # until it begins to encode
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    assert sorted(os.listdir()) == ["photos", "store"]
