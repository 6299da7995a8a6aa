from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import featx
from featx.cli import main
from featx.cli._predict import label_images
from tests.cli.processes import featx_command
from tests.test_pipeline import photo_folder


@pytest.fixture(scope="module")
def made(crops, graphs, tmp_path_factory) -> Path:
    """A folder of twelve images in photos/, and beside it models that were fitted on them."""
    folder = tmp_path_factory.mktemp("made")
    photo_folder(folder / "photos", crops, 12)
    table = featx.read_image_folder(folder / "photos")
    for name, y in (("logistic", table["label"]), ("svm", table["label"]), ("ridge", range(12))):
        model = featx.image_pipeline(name, encoder="squeezenet1_1", weights="random", cache=False)
        model.fit(table["image"], y).set_params(encoder__cache=True)  # of each test
        featx.save(model, folder / name)
    return folder


@pytest.fixture
def images(made, tmp_path, monkeypatch) -> list[str]:
    """The same, to be changed, in the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return featx.read_image_folder("photos")["image"].tolist()


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


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (MultiOutputClassifier(LogisticRegression()), "text"),
        (KNeighborsClassifier(1), "text"),
        (OneVsRestClassifier(LogisticRegression()), "tags"),
        (RandomForestClassifier(3, random_state=0), "tags"),
        (Ridge(), "numbers"),
    ],
    ids=["two heads", "one head", "tags", "a forest of tags", "numbers"],
)
def test_a_model_of_several_outputs_and_its_bundle_have_a_column_for_each(images, head, kind, capsys):
    first = np.arange(12) % 2
    y = np.stack([first, np.arange(12) % 3 == 0], axis=1)
    y = {"text": np.array(["no", "yes"])[y], "tags": y, "numbers": y * 1.5}[kind]
    encoder = featx.ImageEncoder("squeezenet1_1", weights="random", verbose=0)
    model = make_pipeline(encoder, head).fit(images, y)
    featx.save(model, "several")
    featx.export_bundle(model, "bundle")
    Path("broken.jpg").write_bytes(b"no image")
    expected = model.predict(images)
    for folder in ("several", "bundle"):
        assert main(["predict", folder, "broken.jpg", "photos"]) == 1
        rows = read(capsys.readouterr().out)
        assert list(rows[0]) == ["image", "label_0", "label_1", "error"]
        assert (rows[0]["label_0"], rows[0]["label_1"]) == ("", "")
        found = np.array([[row["label_0"], row["label_1"]] for row in rows[1:]])
        if kind == "numbers":
            np.testing.assert_allclose(found.astype(float), expected, atol=1e-3)
        else:
            assert found.tolist() == expected.astype(str).tolist()
        assert main(["predict", folder, "photos", "-o", f"{folder}.parquet"]) == 0
        types = parquet.read_schema(f"{folder}.parquet").types[1:3]
        assert list(map(str, types)) == [{"text": "string", "tags": "int64", "numbers": "double"}[kind]] * 2
        assert main(["predict", folder, images[0], "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert list(row) == ["image", "label", "error"]
        assert row["label"] == (expected[0].tolist() if kind != "numbers" else pytest.approx(expected[0], abs=1e-3))


def test_an_encoder_and_its_bundle_give_embeddings_as_featx_embed_does(images, capsys):
    encoder = featx.ImageEncoder("squeezenet1_1", weights="random", verbose=0).fit(images)
    featx.save(encoder, "encoder")
    featx.export_bundle(encoder, "bundle")
    assert main(["embed", "photos", "-o", "embed.csv", "--encoder", "squeezenet1_1", "--weights", "random"]) == 0
    expected = pd.read_csv("embed.csv")
    for folder in ("encoder", "bundle"):
        assert main(["predict", folder, "photos", "-o", f"{folder}.csv"]) == 0
        found = pd.read_csv(f"{folder}.csv")
        assert found.columns.tolist() == [*expected.columns, "error"]
        np.testing.assert_allclose(found.iloc[:, 1:-1], expected.iloc[:, 1:], atol=1e-4)
        capsys.readouterr()
        assert main(["predict", folder, images[0], "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        np.testing.assert_allclose(row["embedding"], expected.iloc[0, 1:].to_numpy(float), atol=1e-4)
    pd.DataFrame({"image": [*images, "nowhere.jpg"]}).to_csv("table.csv", index=False)
    assert main(["predict", "encoder", "table.csv", "-o", "table-embeddings.csv"]) == 1
    assert pd.read_csv("table-embeddings.csv").iloc[:-1, 1].tolist() == pytest.approx(expected.iloc[:, 1].tolist())


def test_parquet_has_labels_of_their_own_type_and_is_not_replaced_unasked(images, capsys):
    for name, kind in (("ridge", "double"), ("logistic", "string")):
        command = ["predict", name, *images[:3], "-o", "labels.parquet"]
        assert main([*command, "--overwrite"]) == 0
        assert str(parquet.read_schema("labels.parquet").field("label").type) == kind
        assert main(command) == 2
        assert "is there already. Expected another name, or --overwrite" in capsys.readouterr().err


def test_rows_of_a_run_that_was_stopped_are_kept_and_not_mixed_with_another_models(images, capsys):
    assert main(["predict", "svm", "photos", "-o", "whole.csv"]) == 0
    whole = Path("whole.csv").read_text()
    Path("labels.csv.partial").mkdir()
    Path("labels.csv.partial", "rows").write_text("".join(whole.splitlines(keepends=True)[:4]))
    model = json.loads(Path("svm", "model.json").read_text())["sha256"]
    Path("labels.csv.partial", "run.json").write_text(json.dumps({"model": model}))
    assert main(["predict", "logistic", "photos", "-o", "labels.csv", "--resume"]) == 2
    assert "of a run with another model" in capsys.readouterr().err
    assert main(["predict", "svm", "photos", "-o", "labels.csv", "--resume"]) == 0
    assert Path("labels.csv").read_text() == whole


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
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"1 image, 0 unreadable: out.csv\n")
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
        (["logistic", "photos", "-o", "out.csv", "--json"], "Got --json and -o out.csv. Expected one of them"),
    ],
)
def test_what_cannot_be_done_is_refused(images, arguments, message, capsys):
    Path("empty").mkdir()
    assert main(["predict", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


@pytest.fixture
def encoder(tiny):
    return featx.ImageEncoder(tiny, cache=False)


def test_a_pipeline_embeds_each_image_once(encoder, files, caplog):
    model = make_pipeline(encoder, LogisticRegression()).fit(files, ["a", "b"] * 6)
    caplog.set_level("INFO", "featx")
    answers = label_images(model, files)
    assert "".join(record.getMessage() for record in caplog.records).count("encoded=12") == 1
    assert [label for label, _ in answers] == model.predict(files).tolist()
    assert [probability for _, probability in answers] == pytest.approx(model.predict_proba(files).max(axis=1))


def test_a_search_is_a_model_too(encoder, files):
    search = GridSearchCV(make_pipeline(encoder, LogisticRegression()), {"logisticregression__C": [1]}, cv=2)
    assert [label for label, _ in label_images(search.fit(files, [3, 5] * 6), files)] == search.predict(files).tolist()


def test_dates_are_text(encoder, files):
    dates = np.array(["2024-01-01", "2024-06-01"] * 6, "datetime64[ns]")
    for head in (LogisticRegression(), LinearSVC()):
        answers = label_images(make_pipeline(encoder, head).fit(files, dates), files)
        assert {label for label, _ in answers} == {"2024-01-01", "2024-06-01"}


def test_the_probability_is_that_of_the_label_not_the_largest(encoder, files):
    head = FixedThresholdClassifier(LogisticRegression(), threshold=0.99, response_method="predict_proba")
    model = make_pipeline(encoder, head).fit(files, ["a", "b"] * 6)
    answers = label_images(model, files)
    assert {label for label, _ in answers} == {"a"}
    assert [probability for _, probability in answers] == pytest.approx(model.predict_proba(files)[:, 0])


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "is not there"), ("file", "is a file. Expected")])
def test_a_model_that_is_not_there_or_a_file_is_named(folder, message, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["predict", folder, *files]) == 2
    assert message in capsys.readouterr().err
