from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from featx.cli import main
from tests.cli.folders import number_folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, label in enumerate(["left", "right"] * 6):
        Path("labelled", label).mkdir(parents=True, exist_ok=True)
        shutil.copy(files[i], Path("labelled", label))
    return Path("labelled")


def test_what_is_found_is_printed_shown_and_listed(folder, capsys):
    shutil.copy(folder / "left" / "00.jpg", folder / "right" / "copy.jpg")
    (folder / "left" / "empty.jpg").touch()
    assert main(["audit", "labelled", "-o", "audit.html", "--csv", "audit.csv"]) == 1
    out = capsys.readouterr().out
    assert "14 images" in out
    assert "1 unreadable" in out
    assert "Different labels" in Path("audit.html").read_text()
    with open("audit.csv", newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert rows["labelled/left/empty.jpg"]["error"] == "the file is empty (0 bytes)"
    assert rows["labelled/right/copy.jpg"]["duplicate_label_conflict"] == "True"


def test_json_is_one_document(folder, capsys):
    main(["audit", "labelled", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == len(document["rows"]) == 12
    assert document["rows"][0]["image"] == "labelled/left/00.jpg"


def test_folders_named_by_numbers_are_not_judged_where_it_is_said(crops, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number_folder(Path("photos"), crops, 12)
    assert main(["audit", "photos", "--task", "regression"]) == 0
    assert "Labels are numbers to predict: they are not judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nowhere"], "not there"), (["labelled", "-o", "no/a.html"], "there is no folder")]
)
def test_what_cannot_be_done_is_status_2(folder, arguments, message, capsys):
    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err
