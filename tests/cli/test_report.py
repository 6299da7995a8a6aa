from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from featx.cli import main
from tests.cli.folders import number_folder

SMALL = ["--encoder", "squeezenet1_1", "--weights", "random", "--cv", "3"]


@pytest.fixture
def folder(crops, tmp_path, monkeypatch) -> Path:
    """Ten crops of each of two photos."""
    monkeypatch.chdir(tmp_path)
    for i, crop in enumerate([*crops[:10], *crops[-10:]]):
        path = Path("photos", "left" if i < 10 else "right", f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(path)
    return Path("photos")


def test_the_verdict_is_printed_and_a_page_written(folder, capsys):
    assert main(["report", "photos", "-o", "report.html", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert out.partition(":")[0] in ("helps", "hurts", "undecided")
    assert {"pixels", "hog", "color", "random", "pretrained"} <= {line.partition(" ")[0] for line in out.splitlines()}
    assert "Page: report.html" in err
    assert "Does transfer help?" in Path("report.html").read_text()


def test_json_is_one_document_and_bad_images_are_left_out(folder, capsys):
    (folder / "left" / "empty.png").touch()
    assert main(["report", "photos", "--json", *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"].startswith(document["decision"])
    assert document["summary"]["pretrained"]["difference"] is None
    assert {row["feature_set"] for row in document["curves"]} == set(document["summary"])
    assert document["notes"] == ["1 of 21 images cannot be used and are left out."]


@pytest.mark.parametrize("asked", [["--task", "regression"], ["--head", "ridge"]])
def test_folders_named_by_numbers_are_predicted_where_it_is_said(asked, crops, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number_folder(Path("photos"), crops, 20)
    assert main(["report", "photos", "--json", *asked, *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["scoring"] == "R2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "not there"),
        (["photos", "-o", "no/report.html"], "there is no folder"),
        (["photos", "--cv", "2"], "Expected 3 or more"),
        (["photos", "--cv", "11"], "for cv=11"),
        (["photos", "--task", "regression"], "a folder's name is not one"),
        (["photos", "--task", "regression", "--head", "svm"], "a folder's name is not one"),
    ],
)
def test_what_cannot_be_done_is_status_2(folder, arguments, message, capsys):
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err
