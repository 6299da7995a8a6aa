"""A bundle's predict.py answers folders and tables as its Predictor does, and tells what it does."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx.cli import main
from tests.deploy.batch.conftest import SOME, alone, read, run


def test_a_folder_is_answered_as_the_predictor_answers_it(bundle, folder):
    done = run(bundle, "photos")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("image,label,probability,error\n")
    Path("printed.csv").write_text(done.stdout)
    rows = read(Path("printed.csv"))
    paths = sorted(map(str, folder.rglob("*.png")))
    assert [row["image"] for row in rows] == paths
    expected = featx.Predictor(bundle).predict_table(paths)
    assert [row["label"] for row in rows] == [row["label"] for row in expected]
    assert [float(row["probability"]) for row in rows] == pytest.approx([row["probability"] for row in expected])


def test_featx_predict_answers_alike(bundle, folder, capsys):
    done = run(bundle, "photos", "photos/part1", "photos/part0/00.png")
    assert main(["predict", str(bundle.folder), "photos"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(done.stdout.splitlines())  # each image once


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_a_file_has_a_row_for_each_row_of_a_table(bundle, some, name):
    done = run(bundle, some, "--root", "photos", "-o", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{SOME:,} images, 0 unreadable: {name}\n")
    found = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    assert found.columns.tolist() == ["image", "label", "probability", "error"]
    paths = ["photos/" + line.split(",")[1] for line in some.read_text().splitlines()[1:]]
    assert found["image"].tolist() == paths
    expected = featx.Predictor(bundle).predict_table(paths[:12])
    assert found["label"].tolist() == [expected[i % 12]["label"] for i in range(SOME)]
    assert found["probability"].tolist() == pytest.approx([expected[i % 12]["probability"] for i in range(SOME)])
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "some.csv", "photos"])


@pytest.mark.parametrize("name", ["embeddings.csv", "embeddings.parquet"])
def test_a_bundle_that_only_embeds_writes_its_embeddings(encoder_bundle, tiny, folder, name):
    (folder / "part0" / "99.png").write_bytes(b"no image")
    done = run(encoder_bundle, "photos", "-o", name)
    assert (done.returncode, done.stderr) == (1, f"13 images, 1 unreadable: {name}\n")
    found = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    numbers = featx.ImageEncoder(tiny, cache=False).get_feature_names_out().tolist()
    assert found.columns.tolist() == ["image", *numbers, "error"]  # as featx embed names them
    paths = sorted(map(str, folder.rglob("*.png")))
    assert found["image"].tolist() == paths
    bad = paths.index("photos/part0/99.png")
    assert found.loc[bad, numbers].isna().all()
    assert "not an image" in found.loc[bad, "error"]
    expected = featx.Predictor(encoder_bundle).embed([path for path in paths if "99" not in path])
    np.testing.assert_array_equal(found.drop(bad)[numbers].to_numpy("float32"), expected)
    if name.endswith("parquet"):
        assert set(found[numbers].dtypes) == {np.dtype("float32")}


def test_embeddings_of_a_run_that_was_stopped_go_on(encoder_bundle, some, limited):
    assert run(encoder_bundle, some, "--root", "photos", "-o", "whole.parquet").returncode == 0
    arguments = [some, "--root", "photos", "-o", "embeddings.parquet"]
    assert run(encoder_bundle, *arguments, preexec_fn=limited(4000)).returncode == 2
    assert run(encoder_bundle, *arguments, "--resume").returncode == 0
    pd.testing.assert_frame_equal(pd.read_parquet("embeddings.parquet"), pd.read_parquet("whole.parquet"))


def test_a_missing_image_that_the_encoder_takes_is_an_empty_row_with_its_reason(tiny, crops, folder):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0, on_missing="nan")
    bundle = featx.export_bundle(encoder.fit(crops), "bundle")
    Path("rows.csv").write_text("image\nNA\nphotos/part0/00.png\n")
    assert run(bundle, "rows.csv", "-o", "embeddings.csv").returncode == 1
    found = pd.read_csv("embeddings.csv")
    assert found.iloc[:, 1:-1].isna().all(axis=1).tolist() == [True, False]
    assert "missing" in found["error"][0]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_several_outputs_have_a_column_each(two_labels_bundle, tags_bundle, folder, name):
    Path("broken.jpg").write_bytes(b"no image")
    paths = sorted(map(str, folder.rglob("*.png")))
    for bundle in (two_labels_bundle, tags_bundle):
        assert run(bundle, "broken.jpg", "photos", "-o", name, "--overwrite").returncode == 1
        found = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
        expected = featx.Predictor(bundle).predict(paths)
        labels = [f"label_{i}" for i in range(expected.shape[1])]
        assert found.columns.tolist() == ["image", *labels, "error"]
        assert found.loc[0, labels].isna().all()
        assert found.loc[1:, labels].to_numpy(expected.dtype).tolist() == expected.tolist()


def test_the_readme_says_what_a_run_takes_and_writes(bundle, table_bundle, two_labels_bundle, encoder_bundle, folder):
    takes = "`photo` (the path of an image), `price` (a number), `colour` (one of `green`, `red`)"
    assert f"A table of many rows, with the columns {takes}:" in (table_bundle.folder / "README.md").read_text()
    for made, columns in (
        (bundle, "image,label,probability,error"),
        (two_labels_bundle, "image,label_0,label_1,error"),
        (encoder_bundle, "the image, a column for each number of its embedding, and an error"),
    ):
        assert f"It writes {columns}: a row" in (made.folder / "README.md").read_text()
    assert run(two_labels_bundle, "photos").stdout.startswith("image,label_0,label_1,error\n")


def test_rows_that_cannot_be_answered_are_listed_and_stop_nothing(bundle, folder):
    Path("rows.csv").write_text(
        "image\nnowhere.jpg\n\nphotos/part0/00.png\nmany,fields\nNA\nhttps://example.org/a.png\n"
    )
    Path("broken.jpg").write_bytes(b"no image")
    with open("rows.csv", "a") as file:
        file.write("broken.jpg\n" * 50)
    done = run(bundle, "rows.csv", "-o", "labels.csv", "--quiet")
    assert (done.returncode, done.stderr) == (1, "55 images, 54 unreadable: labels.csv\n")
    rows = read(Path("labels.csv"))
    assert [bool(row["label"]) for row in rows] == [False, True] + [False] * 53
    reasons = [row["error"] for row in rows]
    assert reasons[0] == "no such file"
    assert reasons[2] == "line 5: 2 fields; expected 1"
    assert "missing" in reasons[3]
    assert rows[4]["image"] == "https://example.org/a.png"
    assert "not an image" in reasons[5]


def test_a_table_of_several_columns_is_read_as_pandas_reads_it(table_bundle, folder):
    paths = sorted(path.as_posix() for path in folder.rglob("*.png"))[:6]
    prices = ["1", "2.5", "", "1e1", "dear", " 7"]
    colours = ["red", "green", "red", "", "red", "violet"]
    lines = [f"{c}\t{p}\t{i}\t0" for c, p, i in zip(colours, prices, paths, strict=True)]
    Path("goods.tsv").write_text("\n".join(["colour\tprice\tphoto\tunused", *lines]))
    done = run(table_bundle, "goods.tsv")
    assert done.returncode == 1
    Path("printed.csv").write_text(done.stdout)
    rows = read(Path("printed.csv"))
    predictor = featx.Predictor(table_bundle)
    good = pd.DataFrame({"photo": paths[:2], "price": [1, 2.5], "colour": ["red", "green"]})
    assert [row["label"] for row in rows[:2]] == predictor.predict(good).tolist()
    reasons = [row["error"] for row in rows]
    assert "price: missing" in reasons[2]
    assert "colour: missing" in reasons[3]
    assert "price: got 'dear'" in reasons[4]
    assert "violet" in reasons[5]


def test_text_in_another_encoding_is_the_error_of_its_row(table_bundle, folder):
    rows = "photo,price,colour\nphotos/part0/00.png,1,red\nphotos/part0/00.png,1,caf\xe9\n"
    Path("latin.csv").write_text(rows, "latin-1")
    done = run(table_bundle, "latin.csv")
    assert (done.returncode, done.stderr) == (1, "2 images, 1 unreadable\n")
    assert "colour: got 'caf\\udce9', which is no text: it was read as UTF-8" in done.stdout


def test_a_compressed_table_and_names_that_are_not_utf_8_are_read(bundle, folder):
    import gzip

    odd = os.fsdecode(b"photos/caf\xe9.png")
    try:
        os.rename("photos/part0/00.png", odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    with gzip.open("table.csv.gz", "wb") as file:
        file.write(b"\xef\xbb\xbfpicture\n" + os.fsencode(odd) + b"\n")
    for output in ("labels.csv", "labels.parquet"):
        assert run(bundle, "table.csv.gz", "--image", "picture", "-o", output).returncode == 0
    assert read(Path("labels.csv"))[0]["image"] == os.path.abspath(odd)
    assert pd.read_parquet("labels.parquet")["image"].tolist() == [os.path.abspath("photos/caf\\xe9.png")]


REFUSED = [
    (["nowhere"], "nowhere is not there"),
    (["empty"], "holds no images"),
    (["photos", "-o", "nowhere/labels.csv"], "there is no folder"),
    (["photos", "-o", "labels.xlsx"], "Expected a name that ends in .csv or .parquet"),
    (["photos", "-o", "folder.csv"], "which is not a file"),
    (["photos", "-o", "there.csv"], "is there already. Expected another name, or --overwrite"),
    (["photos", "-o", "there.csv", "--resume"], "is there already, and its run was not stopped"),
    (["photos", "-o", "taken.csv"], "holds something else"),
    (["photos", "--resume"], "Got --resume without -o"),
    (["photos", "--root", "photos"], "Got --root without a table"),
    (["there.csv", "photos"], "or one table alone"),
    (["goods.parquet"], "Expected folders and images, or one table alone: .csv or .tsv"),
    (["there.csv"], "Unknown column 'image'. Expected one of 'name'"),
    (["quote.csv"], "which cannot be read as a table"),
    (["nothing.csv"], "which is empty"),
    (["excel.csv"], "whose columns are separated by ';'. Expected ','"),
    (["wide.csv"], "Expected a table in UTF-8"),
    (["photos", "--n-jobs", "0"], "n_jobs"),
]
# One process for all: most of one is its imports.
ANSWER_EACH = """
import contextlib, io, json, runpy, sys
script, every = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, script.rpartition("/")[0])
told = []
for arguments in every:
    sys.argv = [script, *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            status = runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            status = end.code
    told.append((status, said.getvalue()))
json.dump(told, sys.stdout)
"""


def test_what_cannot_be_done_is_refused_and_leaves_nothing(bundle, folder):
    for name in ("empty", "folder.csv", "taken.csv.partial"):
        Path(name).mkdir()
    Path("taken.csv.partial", "letter").touch()
    Path("there.csv").write_text("name\na\n")
    Path("quote.csv").write_text('image\n"' + "a" * 200_000)
    Path("nothing.csv").touch()
    Path("excel.csv").write_text("image;price\na.jpg;1\n", "utf-8-sig")
    Path("wide.csv").write_text("image,price\na.jpg,1\n", "utf-16")
    before = sorted(Path().rglob("*"))
    script, every = (bundle.folder / "predict.py").as_posix(), json.dumps([arguments for arguments, _ in REFUSED])
    command = [sys.executable, "-c", ANSWER_EACH, script, every]
    done = subprocess.run(command, capture_output=True, text=True, env=alone(), check=True)
    for (arguments, message), (status, said) in zip(REFUSED, json.loads(done.stdout), strict=True):
        assert status == 2, arguments
        assert said.startswith("predict.py: error: ")
        assert message in said
    assert sorted(Path().rglob("*")) == before


def test_a_bundle_of_several_columns_says_what_it_takes(table_bundle, folder):
    assert "this model takes the columns 'photo', 'price', 'colour'" in run(table_bundle, "photos").stderr


WITHOUT = """
import runpy, sys
sys.modules |= dict.fromkeys(("featx", "torch", "sklearn", "pandas", "scipy", "pyarrow", "lazy_loader", "tqdm"))
folder, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, folder)
runpy.run_path(f"{folder}/predict.py", run_name="__main__")
"""


def test_nothing_but_the_requirements_is_needed_and_parquet_says_what_else(bundle, folder):
    code = [sys.executable, "-c", WITHOUT, str(bundle.folder), "photos", "-o"]
    done = subprocess.run([*code, "labels.csv"], capture_output=True, text=True, check=False, env=alone())
    assert (done.returncode, done.stderr) == (0, "12 images, 0 unreadable: labels.csv\n")
    done = subprocess.run([*code, "labels.parquet"], capture_output=True, text=True, check=False, env=alone())
    assert done.returncode == 2
    assert "Writing .parquet needs the package 'pyarrow', which is not installed" in done.stderr
    assert not Path("labels.parquet.partial").exists()


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_progress_is_shown_on_a_terminal_alone(bundle, some, quiet):
    ours, theirs = pty.openpty()
    arguments = [some, "--root", "photos", "-o", "labels.csv", *quiet]
    done = run(bundle, *arguments, capture_output=False, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # as Linux ends it
            part = b""
        if not part:
            break
        shown += part
    os.close(ours)
    assert done.returncode == 0
    if quiet:
        assert shown == b""
    else:
        assert f"0 of {SOME:,} images".encode() in shown
        assert shown.endswith(f"\r\x1b[K{SOME:,} images, 0 unreadable: labels.csv\r\n".encode())


def test_files_that_look_like_images_are_told(bundle, folder):
    (folder / "a.jpg.1").write_bytes(b"\xff\xd8\xff\xe0")
    done = run(bundle, "photos")
    assert done.returncode == 0
    assert done.stderr.startswith("predict.py: warning: Left out 1 files that look like images")


def test_a_reader_that_leaves_early_is_no_error(bundle, some):
    ours, theirs = os.pipe()
    os.close(ours)
    done = run(bundle, some, "--root", "photos", capture_output=False, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")
