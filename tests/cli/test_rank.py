from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from featx.cli import main
from tests.cli.folders import number_folder
from tests.test_pipeline import photo_folder

pytestmark = pytest.mark.usefixtures("short_timings")


@pytest.fixture
def folder(crops, tmp_path, monkeypatch) -> Path:
    """Six images of each of two labels."""
    monkeypatch.chdir(tmp_path)
    photo_folder(Path("photos"), crops, 12)
    return Path("photos")


def test_layers_are_listed_best_first_and_in_a_file(folder, capsys):
    arguments = ["rank", "photos", "--encoders", "efficientnet_lite0", "--layers", "feature,blocks.2", "--cv", "2"]
    assert main([*arguments, "--csv", "ranking.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["name", "probe"]
    assert len(lines) == 4
    assert lines[3].startswith("efficientnet_lite0 ")
    assert {line[: line.index("0.")].strip() for line in lines[1:3]} == {
        "efficientnet_lite0 feature",
        "efficientnet_lite0 blocks.2 avg",
    }
    table = pd.read_csv("ranking.csv")
    assert set(table["layer"]) == {"feature", "blocks.2"}
    assert table["probe"].is_monotonic_decreasing


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_precisions_are_listed_side_by_side(folder, capsys):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    arguments = ["--encoders", "efficientnet_lite0", "--precisions", "float32,int8", "--cv", "2"]
    assert main(["rank", "photos", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)  # NNCF's progress is not among it
    assert {row["name"] for row in document["ranking"]} == {
        "efficientnet_lite0 precision=float32",
        "efficientnet_lite0 precision=int8",
    }


def test_json_is_one_document(folder, capsys):
    assert main(["rank", "photos", "--encoders", "efficientnet_lite0", "--cv", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ranking"][0]["dim"] == 1280
    assert document["sentence"].startswith("efficientnet_lite0")
    assert set(document["agreement"]) == {"knn", "logme", "hscore", "top1"}


def test_folders_named_by_numbers_are_predicted_where_it_is_said(crops, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number_folder(Path("photos"), crops, 12)
    arguments = ["rank", "photos", "--encoders", "efficientnet_lite0", "--cv", "3"]
    assert main(arguments) == 2
    assert "If these are numbers to predict, pass --task regression." in capsys.readouterr().err
    assert main([*arguments, "--task", "regression"]) == 0
    out = capsys.readouterr().out
    assert "R2" in out
    assert "knn" not in out


@pytest.mark.filterwarnings("default")
def test_unreadable_images_are_left_out(folder, capsys):
    (folder / "left" / "bad.jpg").write_bytes(b"no image")
    assert main(["rank", "photos", "--encoders", "efficientnet_lite0", "--cv", "2", "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["ranking"][0]["images"] == 12
    assert "1 of 13 images cannot be used and are left out" in out.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scores", "knn,luck"], "Unknown score 'luck'"),
        (["--layers", "nowhere"], "Unknown layer 'nowhere'"),
        (["--precisions", "float31"], "Did you mean 'float32'"),
        (["--budget", "soon"], "Got budget='soon'"),
        (["--cv", "9"], "6 images of class"),
        (["--csv", "nowhere/table.csv"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_said(folder, arguments, message, capsys):
    assert main(["rank", "photos", "--encoders", "efficientnet_lite0", *arguments]) == 2
    assert message in capsys.readouterr().err
