from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

import featx
from featx.cli import main
from tests.cli.processes import featx_command
from tests.test_pipeline import photo_folder


@pytest.fixture
def images(crops, tmp_path, monkeypatch) -> list[str]:
    """Twelve images below photos/, and beside it models that were fitted on them."""
    monkeypatch.chdir(tmp_path)
    photo_folder(Path("photos"), crops, 12)
    table = featx.read_image_folder("photos")
    for name, y in (("logistic", table["label"]), ("svm", table["label"]), ("ridge", range(12))):
        model = featx.image_pipeline(name, encoder="squeezenet1_1", weights="random")
        featx.save(model.fit(table["image"], y), name)
    return table["image"].tolist()


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_each_image_has_its_label_and_its_probability(images):
    done = featx_command("predict", "logistic", "photos")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("image,label,probability,error\n")
    model = featx.load("logistic")
    rows = read(done.stdout)
    assert [row["image"] for row in rows] == images
    assert [row["label"] for row in rows] == model.predict(images).tolist()
    assert [float(row["probability"]) for row in rows] == model.predict_proba(images).max(axis=1).tolist()
    assert {row["error"] for row in rows} == {""}


def test_a_head_without_probabilities_leaves_them_empty(images, capsys):
    assert main(["predict", "svm", *images[:2]]) == 0
    assert [row["probability"] for row in read(capsys.readouterr().out)] == ["", ""]


def test_a_regressors_label_is_the_number(images, capsys):
    assert main(["predict", "ridge", images[3], "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {
        "image": images[3],
        "label": featx.load("ridge").predict([images[3]])[0],
        "probability": None,
        "error": "",
    }


def test_an_unreadable_image_is_a_row_with_its_error_and_status_1(images, capsys):
    Path("photos/left/bad.png").write_bytes(b"garbage")
    assert main(["predict", "logistic", "photos"]) == 1
    shown = capsys.readouterr()
    rows = read(shown.out)
    (bad,) = [row for row in rows if row["error"]]
    assert (bad["image"], bad["label"], bad["probability"]) == ("photos/left/bad.png", "", "")
    assert "not an image" in bad["error"]
    assert sum(bool(row["label"]) for row in rows) == 12
    assert shown.err == "13 images, 1 unreadable\n"


def test_where_no_image_can_be_read_all_are_rows(images, capsys):
    Path("garbage.jpg").write_bytes(b"garbage")
    assert main(["predict", "logistic", "garbage.jpg"]) == 1
    (row,) = read(capsys.readouterr().out)
    assert row["error"]


@pytest.mark.parametrize("name", [b"a,b\nc.png", b"caf\xe9.png"])
def test_odd_names_come_out_as_they_are(images, name):
    odd = os.fsdecode(b"photos/" + name)
    try:
        os.rename(images[0], odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    done = featx_command("predict", "logistic", odd, "-o", "out.csv", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"1 images, 0 unreadable: out.csv\n")
    with open("out.csv", newline="", errors="surrogateescape") as file:
        (row,) = csv.DictReader(file)
    assert row["image"] == odd


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "photos"], "nowhere is not there. Expected the folder of a model"),
        (["logistic", "nowhere"], "nowhere is not there"),
        (["logistic", "empty"], "holds no images"),
        (["logistic", "photos", "-o", "nowhere/out.csv"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused(images, arguments, message, capsys):
    Path("empty").mkdir()
    assert main(["predict", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
