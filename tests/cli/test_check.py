from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from featx.cli import main
from tests.cli.processes import environment, featx_command


@pytest.fixture
def folder(files, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("photos")


def test_good_images_are_a_line_and_status_0(folder, capsys):
    shutil.copy("photos/00.jpg", "photos/copy.jpg")
    assert main(["check", "photos"]) == 0
    assert capsys.readouterr().out == "13 images: 0 bad, 1 copies of another one\n"


def test_blank_images_are_noted_and_no_copies(folder, capsys):
    for name in "ab":
        Image.new("RGBA", (8, 8)).save(folder / f"{name}.png")
    assert main(["check", "photos"]) == 0
    note = "blank: every pixel is (255, 255, 255)"
    assert capsys.readouterr().out.splitlines() == [
        f"photos/a.png: {note}",
        f"photos/b.png: {note}",
        "14 images: 0 bad, 0 copies of another one",
    ]
    assert main(["check", "photos", "--json"]) == 0
    noted = json.loads(capsys.readouterr().out)["noted"]
    assert noted == [{"image": f"photos/{name}.png", "note": note} for name in "ab"]


def test_bad_images_are_lines_and_status_1(folder):
    (folder / "garbage.png").write_bytes(bytes(range(100)))
    (folder / "empty.jpg").touch()
    done = featx_command("check", "photos", "-o", "bad.csv")
    first, second, summary = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert first == "photos/empty.jpg: the file is empty (0 bytes)"
    assert second.startswith("photos/garbage.png: not an image")
    assert summary == "14 images: 2 bad, 0 copies of another one"
    with open("bad.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["photos/empty.jpg", "photos/garbage.png"]
    assert rows[0]["error"] == "the file is empty (0 bytes)"


def test_json_is_one_document(folder, capsys):
    (folder / "empty.jpg").touch()
    assert main(["check", "photos", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "images": 13,
        "copies": 0,
        "bad": [{"image": "photos/empty.jpg", "error": "the file is empty (0 bytes)"}],
        "noted": [],
        "left_out": [],
    }


def test_files_that_are_left_out_are_lines_and_status_1(folder):
    shutil.copy("photos/00.jpg", "photos/00.jpg.1")
    done = featx_command("check", "photos", "-o", "bad.csv")
    assert (done.returncode, done.stderr) == (1, "")
    first, summary = done.stdout.splitlines()
    assert first == "photos/00.jpg.1: left out: a backup or a variant of an image (suffix '.1')"
    assert summary == "12 images: 0 bad, 0 copies of another one, 1 files left out"
    with open("bad.csv", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["photos/00.jpg.1"]


@pytest.mark.parametrize("name", [b"a\nb.jpg", b"a,b.jpg", b"caf\xe9.jpg"])
def test_odd_names_come_out_as_they_are(folder, name):
    try:
        Path(os.fsdecode(b"photos/" + name)).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    done = featx_command("check", "photos", "-o", "bad.csv", text=False)
    assert done.stdout.startswith(b"photos/" + name + b": the file is empty")
    with open("bad.csv", newline="", errors="surrogateescape") as file:
        (row,) = csv.DictReader(file)
    assert os.fsencode(row["image"]) == b"photos/" + name


def test_a_stdout_that_is_not_utf_8_gets_names_spelled_out(folder):
    (folder / "é.jpg").touch()
    done = featx_command("check", "photos", env=environment(PYTHONIOENCODING="ascii"))
    assert done.stdout.startswith("photos/\\xe9.jpg: the file is empty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not there"),
        (["empty"], "holds no images"),
        (["photos", "-o", "nowhere/bad.csv"], "there is no folder"),
    ],
)
def test_what_cannot_be_checked_is_status_2(folder, arguments, message, capsys):
    Path("empty").mkdir()
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err
