"""A run that was stopped, by whatever, goes on where it stopped; no name has half a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.deploy.batch.conftest import ROWS, SOME, alone, command, read, run

MANY = ["many.csv", "--root", "photos"]
FEW = ["some.csv", "--root", "photos"]


def start_and_wait(bundle, output: str) -> subprocess.Popen:
    """Start a run, and wait until it has written some rows."""
    process = subprocess.Popen(
        command(bundle, "--n-jobs", 1, *MANY, "-o", output), stderr=subprocess.PIPE, text=True, env=alone()
    )
    rows, deadline = Path(f"{output}.partial", "rows"), time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if rows.exists() and rows.stat().st_size > 1000:
            return process
        time.sleep(0.001)
    raise AssertionError("no rows were seen")


def stop(bundle, output: str, number: int = signal.SIGKILL) -> None:
    """Start a run, and stop it in the middle."""
    process = start_and_wait(bundle, output)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode in (-number, 130), err
    assert not Path(output).exists()


def load(output: str) -> pd.DataFrame:
    return pd.read_parquet(output) if output.endswith("parquet") else pd.read_csv(output, keep_default_na=False)


@pytest.mark.parametrize("output", ["labels.csv", "labels.parquet"])
def test_a_killed_run_goes_on(bundle, many, output):
    whole = f"whole{Path(output).suffix}"
    assert run(bundle, *MANY, "-o", whole).returncode == 0
    stop(bundle, output)
    done = run(bundle, *MANY, "-o", output, "--resume")
    assert (done.returncode, done.stderr) == (0, f"{ROWS:,} images, 0 unreadable: {output}\n")
    pd.testing.assert_frame_equal(load(output), load(whole))
    assert not Path(f"{output}.partial").exists()


def test_a_run_goes_on_after_the_last_whole_row(bundle, folder, limited):
    assert run(bundle, "photos", "-o", "whole.csv").returncode == 0
    whole = Path("whole.csv").read_bytes()
    assert run(bundle, "photos", "-o", "labels.csv", preexec_fn=limited(450)).returncode == 2
    assert Path("labels.csv.partial", "rows").read_bytes() == whole[:450]
    Path("labels.csv.partial").rename("stopped")
    for kept, torn in ((20, ""), (30, '"torn, '), (400, "\0\0"), (450, "a,b\n"), (450, "")):
        rows = shutil.copytree("stopped", "labels.csv.partial") + "/rows"
        Path(rows).write_bytes(whole[:kept] + torn.encode())
        assert run(bundle, "photos", "-o", "labels.csv", "--resume", "--overwrite").returncode == 0
        assert Path("labels.csv").read_bytes() == whole


def test_what_was_answered_is_not_answered_again(bundle, some, limited):
    assert run(bundle, *FEW, "-o", "labels.csv", preexec_fn=limited(4000)).returncode == 2
    rows = Path("labels.csv.partial", "rows")
    first, second, *others = rows.read_text().splitlines(keepends=True)
    image = second.split(",")[0]
    rows.write_text("".join([first, f"{image},kept,0.5,sic\n", *others]))
    done = run(bundle, *FEW, "-o", "labels.csv", "--resume")
    assert (done.returncode, done.stderr) == (1, f"{SOME:,} images, 1 unreadable: labels.csv\n")
    assert read(Path("labels.csv"))[0] == {"image": image, "label": "kept", "probability": "0.5", "error": "sic"}
    assert len(read(Path("labels.csv"))) == SOME


def test_ctrl_c_says_how_to_go_on(bundle, many):
    process = start_and_wait(bundle, "labels.csv")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err.startswith("stopped after ")
    assert err.endswith(" images: go on with --resume\n")


def test_a_run_that_was_stopped_is_forgotten_only_if_it_is_said(bundle, some, limited):
    assert run(bundle, *FEW, "-o", "labels.csv", preexec_fn=limited(4000)).returncode == 2
    done = run(bundle, *FEW, "-o", "labels.csv")
    assert done.returncode == 2
    assert "Go on with --resume, or begin anew with --overwrite" in done.stderr
    rows = Path("labels.csv.partial", "rows")
    rows.write_text(rows.read_text().replace("0.", "1."))
    assert run(bundle, *FEW, "-o", "labels.csv", "--overwrite").returncode == 0
    assert max(float(row["probability"]) for row in read(Path("labels.csv"))) <= 1


def test_a_job_may_always_say_resume_and_an_older_file_is_kept_until_the_new_one_is_whole(bundle, folder):
    Path("labels.csv").write_text("old\n")
    assert run(bundle, "photos", "-o", "labels.csv", "--resume", "--overwrite").returncode == 0
    assert len(read(Path("labels.csv"))) == 12


def test_rows_of_other_options_or_of_another_table_are_not_mixed(bundle, some, limited):
    assert run(bundle, *FEW, "-o", "labels.csv", preexec_fn=limited(4000)).returncode == 2
    with open("some.csv", "a") as file:
        file.write("9999,part0/00.png\n")
    done = run(bundle, *FEW, "-o", "labels.csv", "--resume")
    assert done.returncode == 2
    assert "holds the rows of a run with another table. Go on with the same" in done.stderr
    done = run(bundle, *FEW, "-o", "labels.csv", "--resume", "--max-pixels", 1000)
    assert "with another max_pixels and table" in done.stderr
    assert Path("labels.csv.partial", "rows").exists()


def test_images_that_came_or_went_before_the_last_row_are_noticed(bundle, folder, limited):
    for i in range(30):
        shutil.copytree("photos/part0", f"photos/copy{i:02}")
    assert run(bundle, "photos", "-o", "whole.csv").returncode == 0
    assert run(bundle, "photos", "-o", "labels.csv", preexec_fn=limited(4000)).returncode == 2
    shutil.copy("photos/part0/00.png", "photos/copy00/aa.png")
    done = run(bundle, "photos", "-o", "labels.csv", "--resume")
    assert done.returncode == 2
    assert "the input has changed. Begin anew with --overwrite" in done.stderr
    os.remove("photos/copy00/aa.png")
    assert run(bundle, "photos", "-o", "labels.csv", "--resume").returncode == 0
    assert Path("labels.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_two_runs_do_not_write_one_file(bundle, many):
    process = start_and_wait(bundle, "labels.csv")
    process.send_signal(signal.SIGSTOP)
    try:
        done = run(bundle, *MANY, "-o", "labels.csv", "--resume")
        assert done.returncode == 2
        assert "Another run is writing to" in done.stderr
    finally:
        process.kill()
        process.communicate()
    assert run(bundle, *MANY, "-o", "labels.csv", "--resume").returncode == 0


@pytest.mark.parametrize("output", ["labels.csv", "labels.parquet"])
def test_where_a_file_may_not_grow_what_is_written_is_kept_and_goes_on(bundle, some, limited, output):
    done = run(bundle, *FEW, "-o", output, preexec_fn=limited(4000))
    assert done.returncode == 2
    assert "File too large. What was answered so far is kept in" in done.stderr
    assert "go on with --resume" in done.stderr
    assert not Path(output).exists()
    assert Path(f"{output}.partial", "rows").stat().st_size == 4000
    assert run(bundle, *FEW, "-o", output, "--resume").returncode == 0
    assert len(load(output)) == SOME


def test_where_rows_cannot_be_made_parquet_nothing_is_lost(bundle, some, limited):
    assert run(bundle, *FEW, "-o", "whole.parquet").returncode == 0
    assert run(bundle, *FEW, "-o", "labels.parquet", preexec_fn=limited(4000)).returncode == 2
    Path("labels.parquet.partial", "joined").mkdir()  # where the file is to be made
    done = run(bundle, *FEW, "-o", "labels.parquet", "--resume")
    assert done.returncode == 2
    assert "labels.parquet cannot be written: Is a directory. What was answered so far is kept" in done.stderr
    assert Path("labels.parquet.partial", "rows").read_bytes().count(b"\n") == SOME
    Path("labels.parquet.partial", "joined").rmdir()
    assert run(bundle, *FEW, "-o", "labels.parquet", "--resume").returncode == 0
    pd.testing.assert_frame_equal(load("labels.parquet"), load("whole.parquet"))


def test_a_full_disk_is_an_error_and_with_room_again_the_run_goes_on(bundle, some):
    disk = Path("disk")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "disk"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    try:
        Path("disk/other").write_bytes(bytes(56 * 1024))
        done = run(bundle, *FEW, "-o", "disk/labels.csv")
        assert done.returncode == 2
        assert "No space left on device. What was answered so far is kept in" in done.stderr
        assert not Path("disk/labels.csv").exists()
        again = run(bundle, *FEW, "-o", "disk/labels.csv", "--resume")
        assert again.returncode == 2
        Path("disk/other").unlink()
        assert run(bundle, *FEW, "-o", "disk/labels.csv", "--resume").returncode == 0
        assert len(read(Path("disk/labels.csv"))) == SOME
    finally:
        subprocess.run(["umount", "disk"], check=True)
