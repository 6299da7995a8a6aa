from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DATA = Path("/usr/share/datasets/fashion-mnist")


def run(root, tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(root / "examples" / "fashion_mnist.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)


@pytest.mark.skipif(not DATA.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_it_beats_chance_by_far_on_a_few_images_and_resumes(root, tmp_path):
    done = run(root, tmp_path, "--limit", "150", "--preprocess", "squash")
    assert done.returncode == 0, done.stderr
    score = float(done.stdout.split("squash, svm: ")[1].split()[0])
    assert score > 0.5
    assert "encoded=150" in done.stderr
    more = run(root, tmp_path, "--limit", "160", "--preprocess", "squash", "--heads", "logistic")
    assert more.stderr.count("encoded=10 ") == 2


def test_without_the_data_it_says_where_to_get_them(root, tmp_path):
    done = run(root, tmp_path, "--data", "nowhere")
    assert done.returncode == 1
    assert "apt-get install dataset-fashion-mnist" in done.stderr


def test_it_reads_the_files_of_any_folder(root, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 255, (20, 28, 28), dtype=np.uint8)
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(bytes(16) + images.tobytes())
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(bytes(8) + bytes(i % 10 for i in range(20)))
    done = run(root, tmp_path, "--data", str(tmp_path), "--preprocess", "default", "--heads", "logistic")
    assert done.returncode == 0, done.stderr
    assert "20 images for training, 20 for testing" in done.stdout
