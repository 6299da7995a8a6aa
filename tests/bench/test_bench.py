from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from featx import check_images
from featx.bench import BenchResult, EncoderBench, _measure, format_table, images_per_second, run_bench, write_photos
from featx.exceptions import InputError, ParameterError, UnknownNameError
from featx.images import DigestMemo, FileState


def make_result(
    *, decode: float = 300.0, encode: float = 100.0, whole: float = 60.0, device: str = "cpu", left_out: tuple = ()
) -> BenchResult:
    return BenchResult(
        encoder="resnet18",
        weights="random",
        precision="float32",
        runtime="torch",
        device=device,
        dim=512,
        batch_size=8,
        n_threads=2,
        n_images=12,
        left_out=left_out,
        rates={"decode": (decode,) * 3, "encode": (encode,) * 3, "whole": (whole,) * 3, "warm": (9000.0,) * 3},
        difference=3e-7,
    )


def line_of(table: str, start: str) -> str:
    (line,) = [line for line in table.splitlines() if line.startswith(start)]
    return line


# The whole measurement.


def test_every_part_is_measured_in_every_run(files):
    result = run_bench(files, runs=2, verbose=0)
    assert (result.encoder, result.weights, result.n_images) == ("efficientnet_lite0", "default", 12)
    assert [(part, len(rates)) for part, rates in result.rates.items()] == [
        *(("decode", 2), ("encode", 2), ("whole", 2), ("warm", 2))
    ]
    assert result.difference < 1e-4
    assert result.left_out == ()


def test_weights_that_are_not_here_are_random_and_photos_are_made_where_none_are_named(monkeypatch, files):
    monkeypatch.setattr(_measure, "write_photos", lambda folder, n: files[:n])
    result = run_bench(encoder="squeezenet1_1", n_images=3, runs=1, verbose=0)
    assert (result.weights, result.n_images) == ("random", 3)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"runs": 0}, ParameterError, "Got runs=0. Expected a positive integer"),
        ({"n_images": 1.5}, ParameterError, r"Got n_images=1\.5"),
        ({"n_jobs": 0}, ParameterError, "Got n_jobs=0"),
        ({"encoder": "resnet19"}, UnknownNameError, "Did you mean 'resnet"),
        ({"runtime": "abacus"}, UnknownNameError, "Unknown runtime 'abacus'"),
        ({"precision": "float3"}, UnknownNameError, "Unknown precision 'float3'"),
        ({"sources": ["nowhere"]}, InputError, "nowhere is not there"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(parameters, error, message, files):
    with pytest.raises(error, match=message):
        run_bench(**{"sources": files, "verbose": 0} | parameters)


# One encoder.


@pytest.fixture
def bench(files):
    return EncoderBench(files, "resnet18", "random", 2)


def test_every_part_has_a_rate_and_the_parts_are_faster_than_the_whole(bench):
    whole = bench.whole()
    assert 0 < whole < bench.decode()
    assert bench.encode() > 0
    assert bench.warm() > 2 * whole
    assert 0 <= bench.difference() < 1e-4


def test_the_whole_hashes_every_file_again(bench, files):
    memo, later = DigestMemo(), time.time_ns() + 10**10
    memo.record([(path, FileState.of(os.stat(path)), b"remembered here.") for path in files], since=later)
    assert set(memo.lookup(files)) == set(files)
    bench.whole()
    assert b"remembered here." not in {digest for _, digest in memo.lookup(files).values()}


def test_one_image_is_enough(files):
    bench = EncoderBench(files[:1], "resnet18", "random", 2, batch_size=4)
    about = bench.about()
    assert (about["dim"], about["precision"], about["batch_size"], about["n_threads"]) == (512, "float32", 4, 2)
    assert bench.encode() > 0
    assert bench.whole() > 0


def test_a_rate_is_images_by_seconds(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(_measure, "time", SimpleNamespace(perf_counter=lambda: 0.5 * next(clock)))
    calls = []
    assert images_per_second(lambda: calls.append(1), 3) == 6
    assert calls == [1]


# The images.


@pytest.fixture
def folder(files, crops) -> Path:
    """The files of a user: twelve JPEGs, nested ones of other formats, a broken one, a copy, a text."""
    folder = Path(files[0]).parent
    (folder / "deep" / "er").mkdir(parents=True)
    Image.fromarray(crops[20]).save(folder / "deep" / "a.png")
    Image.fromarray(crops[21]).convert("L").save(folder / "deep" / "er" / "b.WEBP")
    (folder / "broken.jpg").write_bytes(Path(files[0]).read_bytes()[:500])
    (folder / "notes.txt").write_text("no image")
    shutil.copy(files[3], folder / "deep" / "copy.jpg")
    return folder


def test_nested_images_of_any_format_are_found_and_the_others_are_left_out_with_a_reason(folder):
    photos = _measure.find_photos([folder], 100)
    assert len(photos.paths) == 14
    assert {"a.png", "b.WEBP"} <= {Path(path).name for path in photos.paths}
    reasons = {Path(path).name: reason for path, reason in photos.left_out}
    assert set(reasons) == {"broken.jpg", "copy.jpg"}
    assert reasons["copy.jpg"] == "a copy of another image"
    assert reasons["broken.jpg"]


def test_a_limit_looks_at_files_from_all_over_the_folder(folder):
    photos = _measure.find_photos([folder], 5)
    assert [Path(path).name for path in photos.paths] == ["00.jpg", "03.jpg", "06.jpg", "09.jpg"]
    assert [Path(path).name for path, _ in photos.left_out] == ["broken.jpg"]


def test_files_and_folders_may_be_mixed_and_named_twice(folder, files):
    assert _measure.find_photos([files[0], files[1], files[0]], 9).paths == (files[0], files[1])
    assert len(_measure.find_photos([files[0], folder / "deep"], 9).paths) == 4


def test_without_a_readable_image_the_first_reason_is_given(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match=r"None of 1 images can be read.*empty\.jpg: the file is empty"):
        run_bench([tmp_path], verbose=0)


def test_photos_that_are_written_are_distinct_and_of_a_usual_size(tmp_path):
    paths = write_photos(tmp_path, 60)
    table = check_images(paths)
    assert table["digest"].nunique() == 60
    assert set(zip(table["width"], table["height"], strict=True)) == {(500, 375)}
    assert 30_000 < sum(Path(path).stat().st_size for path in paths) / 60 < 70_000


# What follows from the rates.


def test_on_a_cpu_the_parts_share_the_cores_and_on_cuda_the_slower_one_decides():
    on_cpu, on_cuda = make_result(), make_result(device="cuda:0")
    assert on_cpu.limit == pytest.approx(75)
    assert on_cuda.limit == 100
    assert on_cpu.share == pytest.approx(0.8)
    assert "share the cores" in line_of(format_table(on_cpu), "limit")
    assert "slower of the two" in line_of(format_table(on_cuda), "limit")


def test_rates_are_medians_over_the_runs():
    result = make_result()
    result.rates["whole"] = (1.0, 50.0, 3.0)
    assert result.rate("whole") == 3


def test_it_is_strict_json():
    result = make_result()
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["medians"]["whole"] == 60
    assert data["share"] == result.share


def test_the_table_says_what_ran():
    table = format_table(make_result())
    assert table.startswith("resnet18, weights random, float32: torch on cpu, 2 threads, batches of 8\n12 images")
    assert line_of(table, "limit").split()[1] == "75.0"
    assert "80% of the limit" in line_of(table, "whole  ")
    assert "9,000" in line_of(table, "whole, all cached")
    assert "3e-07" in line_of(table, "relative L2")


def test_files_that_were_left_out_are_counted_and_the_first_are_named():
    table = format_table(make_result(left_out=tuple((f"{i}.jpg", "is broken") for i in range(7))))
    assert "7 files left out:\n  0.jpg: is broken" in table
    assert "5.jpg" not in table
    assert "... and 2 more" in table


def test_runs_that_differ_much_are_reported():
    result = make_result()
    assert result.spread == 1
    assert "Measure again" not in format_table(result)
    result.rates["whole"] = (60.0, 30.0, 61.0)
    assert format_table(result).endswith(
        "differ by up to 2.0 times: the machine is busy. Measure again when it is not."
    )
