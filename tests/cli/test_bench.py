from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from featx.cli import main


def test_bench_measures_a_folder_with_broken_files_in_it(files, tmp_path, capsys):
    folder = Path(files[0]).parent
    (folder / "deep").mkdir()
    Image.new("L", (300, 200)).save(folder / "deep" / "other.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    arguments = ["bench", str(folder), "--runs", "1", "--encoder", "resnet18", "--batch-size", "4", "--n-jobs", "1"]
    assert main([*arguments, "--json", str(tmp_path / "a.json")]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("resnet18, weights random, float32: ")
    assert "1 thread, batches of 4\n13 images, one run\n1 file left out:\n" in told.out
    assert "% of the limit" in told.out
    data = json.loads((tmp_path / "a.json").read_text())
    assert (data["n_images"], data["n_threads"]) == (13, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "nowhere"], "nowhere is not there"),
        (["bench", "--encoder", "resnet19"], "Did you mean"),
        (["bench", "--runtime", "abacus"], "Unknown runtime 'abacus'"),
        (["bench", "--device", "tpu"], "Unknown device 'tpu'"),
        (["bench", "--json", "nowhere/a.json"], "there is no folder"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("featx: error: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
