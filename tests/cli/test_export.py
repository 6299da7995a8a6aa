from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import featx
from featx.cli import main
from tests.cli.processes import environment, featx_command
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
    done = featx_command("export", "model", "bundle", "--sample", "photos")
    Path("photos", "broken.jpg").unlink()
    assert done.returncode == 0, done.stderr
    assert "unreadable images are left out: 1" in done.stderr
    assert "labels_equal: 1\n" in done.stdout
    assert "Bundle: " in done.stderr
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


def test_what_cannot_leave_is_told_and_nothing_is_written(images, capsys):
    assert main(["export", "nowhere", "bundle"]) == 2
    assert main(["export", "model", "photos"]) == 2
    assert main(["export", "model", "bundle", "--quantize", "int8"]) == 2
    assert "without sample" in capsys.readouterr().err
    assert not Path("bundle").exists()
