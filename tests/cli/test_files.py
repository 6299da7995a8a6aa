from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featx
from featx.cli._files import apply_to_readable, check_target, replacing, write_csv
from featx.exceptions import ImageReadError, ParameterError, StoreError


def test_a_file_appears_when_it_is_whole(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert (file.read_text(), temporary.suffix) == ("old", ".csv")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, StoreError])
def test_work_that_fails_leaves_the_old_file_and_no_other(tmp_path, error):
    file = tmp_path / "a.csv"
    file.write_text("old")

    def work():
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        work()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_disk_that_is_full_is_named(tmp_path):
    def work():
        with replacing(tmp_path / "a.csv"), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(ParameterError, match=r"a\.csv cannot be written: No space left"):
        work()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    with replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "file.csv").read_text() == "new"


@pytest.mark.parametrize("target", ["nowhere/a.csv", "/dev/null", "/proc/a.csv", "."])
def test_what_cannot_be_written_is_refused_before_the_work(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=r"Make it first|is not a file|cannot be written"), replacing(target):
        pytest.fail("the work has begun")


def test_a_file_gets_the_rights_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    with replacing(tmp_path / "a.csv"):
        pass
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_new_file_in_a_folder_is_accepted(tmp_path):
    check_target(tmp_path / "new.csv")
    assert not os.listdir(tmp_path)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def write_table(rows: list[dict], columns: list[str], file: Path | io.StringIO) -> None:
    write_csv(pd.DataFrame(rows, columns=columns, dtype=object), file)


@given(rows=st.lists(st.tuples(st.text(), st.text(), st.none() | st.floats(0, 1)), min_size=1, max_size=3))
def test_any_name_and_number_comes_back(rows):
    text, columns = io.StringIO(newline=""), ["image", "label", "probability"]
    write_table([dict(zip(columns, row, strict=True)) for row in rows], columns, text)
    found = [(row["image"], row["label"], row["probability"]) for row in rows_of(text.getvalue())]
    assert [row[:2] for row in found] == [row[:2] for row in rows]
    assert [float(row[2]) if row[2] else None for row in found] == [row[2] for row in rows]


def test_a_plain_table_has_no_quotes():
    text = io.StringIO()
    write_table([{"image": "a b.jpg", "error": "", "n": np.float32(0.1)}], ["image", "error", "n"], text)
    assert text.getvalue() == "image,error,n\na b.jpg,,0.1\n"


def test_bytes_that_are_no_text_reach_the_file(tmp_path):
    write_table([{"image": os.fsdecode(b"caf\xe9\r.jpg"), "n": 1}], ["image", "n"], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == b'"image","n"\n"caf\xe9\r.jpg",1\n'


@pytest.fixture
def mixed(files, tmp_path) -> list[str]:
    (tmp_path / "bad.jpg").write_bytes(b"garbage")
    return [files[0], str(tmp_path / "bad.jpg"), files[1], "nowhere.jpg"]


def test_where_all_can_be_used_the_function_is_called_once(files):
    calls = []
    result, reasons = apply_to_readable(calls.append, files)
    assert (result, reasons, calls) == (None, {}, [files])


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_the_others_are_used_and_these_have_their_reason(mixed, tiny, on_error):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error=on_error)
    embeddings, reasons = apply_to_readable(encoder.transform, mixed)
    assert (embeddings == encoder.transform([mixed[0], mixed[2]])).all()
    assert reasons.keys() == {1, 3}
    assert "not an image" in reasons[1]
    assert reasons[3] == "no such file"


def test_where_none_can_be_used_there_is_no_result(tiny):
    assert apply_to_readable(featx.ImageEncoder(tiny, cache=False).transform, ["nowhere.jpg"]) == (
        *(None, {0: "no such file"}),
    )


def test_an_error_that_a_second_look_does_not_find_is_raised(files):
    def fail(images):
        raise ImageReadError([(0, 0, images[0], "changed")], len(images), None)

    with pytest.raises(ImageReadError, match="changed"):
        apply_to_readable(fail, files)
