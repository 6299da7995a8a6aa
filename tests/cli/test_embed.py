from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx.cli import main
from tests.cli.processes import featx_command

TINY = ["--encoder", "squeezenet1_1", "--weights", "random", "--cache", "store"]


@pytest.fixture
def folder(files, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    return "photos"


@pytest.fixture
def expected(files):
    return featx.ImageEncoder("squeezenet1_1", weights="random", cache="store", verbose=0).transform(files)


def test_a_table_has_the_images_and_a_column_a_number(folder, expected):
    done = featx_command("embed", folder, "-o", "e.parquet", *TINY)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "12 images, 512 numbers each: e.parquet\n"
    table = pd.read_parquet("e.parquet")
    assert list(table.columns[:2]) + list(table.columns[-1:]) == ["image", "image_000", "image_511"]
    assert table["image"].tolist() == [f"photos/{i:02}.jpg" for i in range(12)]
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy("float32"), expected)


def test_csv_keeps_every_bit(folder, expected):
    assert main(["embed", folder, "-o", "e.csv", *TINY]) == 0
    table = pd.read_csv("e.csv")
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy("float32"), expected)
    assert table["image"][3] == "photos/03.jpg"


def test_npy_is_the_matrix_with_the_names_beside_it(folder, expected, capsys):
    assert main(["embed", folder, "-o", "e.npy", *TINY]) == 0
    matrix = np.load("e.npy", allow_pickle=False)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, expected)
    assert Path("e.npy.images.txt").read_text().splitlines() == [f"photos/{i:02}.jpg" for i in range(12)]
    assert "one line per row: e.npy.images.txt" in capsys.readouterr().err


def test_files_and_folders_are_taken_in_order_and_once(folder, capsys):
    assert main(["embed", "photos/05.jpg", folder, "-o", "e.csv", *TINY]) == 0
    images = pd.read_csv("e.csv")["image"].tolist()
    assert images[:3] == ["photos/05.jpg", "photos/00.jpg", "photos/01.jpg"]
    assert len(images) == 12


@pytest.mark.filterwarnings("default")
def test_an_unreadable_image_ends_it_or_is_a_row_of_nan(folder, capsys):
    Path("photos/bad.jpg").write_bytes(b"garbage")
    assert main(["embed", folder, "-o", "e.csv", *TINY]) == 2
    assert "1 of 13 images unreadable; 12 embeddings stored" in capsys.readouterr().err
    assert not [name for name in os.listdir() if name.startswith((".featx", "e."))]
    assert main(["embed", folder, "-o", "e.csv", "--on-error", "nan", *TINY]) == 0
    assert "featx: warning: 1 of 13 images became NaN rows" in capsys.readouterr().err
    table = pd.read_csv("e.csv").set_index("image")
    assert table.index[table.isna().all(axis=1)].tolist() == ["photos/bad.jpg"]


def test_without_a_file_the_cache_is_filled_and_bad_images_are_listed(folder, capsys):
    Path("photos/bad.jpg").write_bytes(b"garbage")
    assert main(["embed", folder, "--layers", "early,late", *TINY]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("photos/bad.jpg: not an image")
    assert shown.out.count("\n") == 1
    assert shown.err == "13 images: 1 bad, 24 embeddings are new in the cache\n"
    os.remove("photos/bad.jpg")
    assert main(["embed", "photos/00.jpg", folder, "--layers", "early", *TINY]) == 0
    assert capsys.readouterr().err == "12 images: 0 bad, 0 embeddings are new in the cache\n"


def test_a_table_names_its_column_of_images(folder, files, expected, capsys):
    pd.DataFrame({"photo": [Path(file).read_bytes() for file in files]}).to_parquet("t.parquet")
    assert main(["embed", "t.parquet", "--image", "photo", "-o", "e.csv", *TINY]) == 0
    table = pd.read_csv("e.csv")
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy("float32"), expected)
    assert table["image"][3].endswith("t.parquet::photo[0, 3]")


@pytest.mark.filterwarnings("default")
def test_the_paths_of_a_table_lie_below_a_root_and_some_are_missing(folder, expected, capsys):
    pd.DataFrame({"image": ["03.jpg", None]}).to_csv("t.csv.gz", index=False)
    command = ["embed", "t.csv.gz", "--root", "photos", "-o", "e.csv", *TINY]
    assert main(command) == 2
    assert main([*command, "--on-error", "nan"]) == 0
    rows = pd.read_csv("e.csv").iloc[:, 1:].to_numpy("float32")
    np.testing.assert_array_equal(rows[0], expected[3])
    assert np.isnan(rows[1]).all()


@pytest.mark.parametrize("output", ["e.parquet", "e.csv", "e.npy"])
def test_names_that_are_no_text_are_written(folder, output):
    name = os.fsdecode(b'photos/caf\xe9, a "b".jpg')
    try:
        os.rename("photos/00.jpg", name)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert main(["embed", folder, "-o", output, *TINY]) == 0
    if output == "e.parquet":
        assert 'photos/caf\\xe9, a "b".jpg' in pd.read_parquet(output)["image"].tolist()
    elif output == "e.csv":
        with open(output, errors="surrogateescape", newline="") as file:
            assert name in [row[0] for row in csv.reader(file)]
    else:
        assert os.fsencode(name) in Path("e.npy.images.txt").read_bytes().splitlines()


def test_a_line_break_in_a_name_goes_into_a_table_not_into_lines(folder, capsys):
    os.rename("photos/00.jpg", "photos/a\nb.jpg")
    assert main(["embed", folder, "-o", "e.npy", *TINY]) == 2
    assert "Write to .parquet or .csv" in capsys.readouterr().err
    assert main(["embed", folder, "-o", "e.csv", *TINY]) == 0
    assert "photos/a\nb.jpg" in pd.read_csv("e.csv")["image"].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "-o", "e.xlsx"], "Unknown suffix of a file of embeddings '.xlsx'"),
        (["photos", "-o", "e"], "Expected one of '.parquet', '.csv', '.npy'"),
        (["photos", "-o", "nowhere/e.csv"], "there is no folder"),
        (["nowhere", "-o", "e.csv"], "nowhere is not there"),
        (["empty", "-o", "e.csv"], "holds no images"),
        (["photos", "-o", "e.csv", "--encoder", "resnet19"], "Unknown encoder 'resnet19'"),
        (["photos", "-o", "e.csv", "--on-error", "zero"], "Unknown on_error 'zero'"),
        (["photos", "-o", "e.csv", "--pooling", "gem"], "without layers"),
        (["photos", "--pooling", "gem"], "without layers"),
        (["photos", "--no-cache"], "nothing would be kept"),
        (["photos", "--engine", "dask"], "Unknown engine 'dask'"),
        (["photos", "--image", "photo"], "Got --image without a table"),
        (["photos", "--root", "photos"], "Got --root without a table"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(folder, arguments, message, capsys):
    Path("empty").mkdir()
    before = sorted(os.listdir())
    assert main(["embed", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert sorted(os.listdir()) == before


def test_without_pyarrow_the_extra_is_named_before_the_work(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["embed", folder, "-o", "e.parquet", *TINY]) == 2
    assert "pip install 'featx[cli]'" in capsys.readouterr().err
    assert not os.path.exists("store")
