from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import featx
from featx.cli import main
from tests.cli.processes import environment
from tests.test_pipeline import photo_folder

# What a bundle's predictions do without, and would take longer to import than to predict.
HEAVY = "import sys; print([name for name in ('torch', 'sklearn', 'scipy', 'pandas') if name in sys.modules])"


@pytest.fixture(scope="module")
def made(crops, graphs, tmp_path_factory) -> Path:
    """A folder of twelve images in photos/, and a model that was fitted on them."""
    folder = tmp_path_factory.mktemp("made")
    photo_folder(folder / "photos", crops, 12)
    table = featx.read_image_folder(folder / "photos")
    model = featx.image_pipeline(encoder="squeezenet1_1", weights="random", cache=False)
    featx.save(model.fit(table["image"], table["label"]), folder / "model")
    return folder


@pytest.fixture
def images(made, tmp_path, monkeypatch) -> None:
    """The same, to be changed, in the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def test_a_model_becomes_a_bundle_that_predicts_the_same(images, capsys):
    Path("photos", "broken.jpg").write_bytes(b"no image")
    assert main(["export", "model", "bundle", "--sample", "photos"]) == 0
    Path("photos", "broken.jpg").unlink()
    told = capsys.readouterr()
    assert "unreadable images are left out: 1" in told.err
    assert "labels_equal: 1\n" in told.out
    assert "Bundle: " in told.err
    answers = []
    for folder in ("model", "bundle"):
        assert main(["predict", folder, "photos", "nowhere.jpg"]) == 2  # no such file is no image among others
        capsys.readouterr()
        assert main(["predict", folder, "photos"]) == 0
        answers.append(list(csv.DictReader(capsys.readouterr().out.splitlines())))
    assert [row["label"] for row in answers[0]] == [row["label"] for row in answers[1]]
    for ours, theirs in zip(*answers, strict=True):
        assert float(ours["probability"]) == pytest.approx(float(theirs["probability"]), abs=1e-4)
    with_modules = f"from featx.cli import main; main(['predict', 'bundle', 'photos', '-o', 'labels.csv']); {HEAVY}"
    done = subprocess.run([sys.executable, "-c", with_modules], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert Path("labels.csv").read_text().count("\n") == 13


def test_a_smaller_bundle_tells_how_far_it_agrees(images, capsys):
    assert main(["export", "model", "bundle", "--quantize", "float16", "--sample", "photos", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quantize"] == "float16"
    assert told["rows"] == 12
    assert told["bytes"] < 4e6  # squeezenet has 1.2 million weights
    assert 0 < told["probabilities_error"] < 0.1


def test_a_share_of_rows_may_be_allowed_to_differ(images, capsys):
    assert main(["export", "model", "bundle", "--tolerance", "0.25", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tolerance"], told["threshold_flips"]) == (0.25, 0)
    assert main(["export", "model", "bundle", "--tolerance", "2"]) == 2
    assert "Expected a share of rows" in capsys.readouterr().err


def test_a_bundle_has_the_scores_that_training_left_in_the_model(images, capsys):
    small = ["--encoder", "squeezenet1_1", "--weights", "random"]
    Path("photos", "left", "broken.jpg").write_bytes(b"no image")
    assert main(["train", "photos", "-o", "trained", "--cv", "3", "--audit", *small, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert main(["export", "trained", "bundle"]) == 0
    scores = json.loads(Path("bundle", "bundle.json").read_text())["card"]["scores"]
    assert scores["folds"]["accuracy"] == [fold["accuracy"] for fold in trained["folds"]]
    assert scores["summary"]["accuracy"]["mean"] == pytest.approx(trained["mean"]["accuracy"])
    assert (scores["rows"], scores["classes"], scores["left_out"]) == (12, {"left": 6, "right": 6}, 1)
    assert (scores["audit"]["images"], scores["copies"]) == (12, 0)
    assert "Its accuracy in cross-validation is" in Path("bundle", "README.md").read_text()
    assert main(["export", "model", "bundle"]) == 0
    assert "No scores were given" in Path("bundle", "README.md").read_text()


def test_what_operators_need_is_written_beside_it(images, capsys):
    assert main(["export", "model", "bundle", "--with", "docker", "web"]) == 0
    assert Path("bundle", "Dockerfile").is_file()
    assert Path("bundle", "web", "index.html").is_file()
    assert main(["export", "model", "bundle", "--with", "lorry"]) == 2
    assert "'lorry'" in capsys.readouterr().err


def test_what_cannot_leave_is_told_and_nothing_is_written(images, capsys):
    assert main(["export", "nowhere", "bundle"]) == 2
    assert main(["export", "model", "photos"]) == 2
    assert main(["export", "model", "bundle", "--quantize", "int8"]) == 2
    assert "without sample" in capsys.readouterr().err
    assert not Path("bundle").exists()


@pytest.fixture
def sides(crops, tmp_path, monkeypatch) -> None:
    """A table of two columns of photos, of which the first holds several, in goods.parquet; and a model of it."""
    pytest.importorskip("pyarrow", reason="needs pip install pyarrow")
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    names = [f"{i}.png" for i in range(12)]
    for name, crop in zip(names, crops[:12], strict=True):
        Image.fromarray(crop).save(Path("photos", name))
    table = pd.DataFrame({"front": [[a, b] for a, b in zip(names, names[::-1], strict=True)], "back": names})
    table.to_parquet("goods.parquet")
    encoder = featx.ImageEncoder("squeezenet1_1", weights="random", root="photos", cache=False, verbose=0)
    columns = make_column_transformer((clone(encoder).set_params(combine="mean"), "front"), (encoder, "back"))
    model = make_pipeline(columns, LogisticRegression()).fit(table, ["new", "old"] * 6)
    for _, part, _ in model[0].transformers_:
        part.set_params(root=None)
    featx.save(model, "model")


def test_a_table_of_two_columns_of_images_is_the_sample_and_is_labelled(sides, capsys):
    assert main(["export", "model", "bundle", "--sample", "goods.parquet", "--root", "photos"]) == 0
    assert "rows: 12" in capsys.readouterr().out
    answers = []
    for folder in ("model", "bundle"):
        assert main(["predict", folder, "goods.parquet", "--root", "photos", "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [row["label"] for row in answers[0]] == [row["label"] for row in answers[1]]
    for ours, theirs in zip(*answers, strict=True):
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-4)
    assert main(["predict", "bundle", "goods.parquet", "--image", "back"]) == 2
    assert "The model takes front, back" in capsys.readouterr().err
    assert main(["export", "model", "bundle", "--sample", "photos", "--root", "photos"]) == 2
