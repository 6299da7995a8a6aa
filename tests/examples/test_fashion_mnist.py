from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest

from tests.examples.test_retrieval import example

DATA = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def level_of_logs(caplog):
    """The example sets it for its whole process."""
    caplog.set_level(logging.INFO, "featx")


def run(root, tmp_path, *arguments: str) -> str:
    return example(root, tmp_path, "fashion_mnist.py", *arguments)


@pytest.mark.skipif(not DATA.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_it_beats_chance_by_far_on_a_few_images_and_resumes(root, tmp_path, caplog):
    shown = run(root, tmp_path, "--limit", "100", "--preprocess", "squash")
    assert float(shown.split("squash, svm: ")[1].split()[0]) > 0.5
    assert caplog.text.count("encoded=100 ") == 2
    run(root, tmp_path, "--limit", "110", "--preprocess", "squash", "--heads", "logistic")
    assert caplog.text.count("encoded=10 ") == 2


def test_without_the_data_it_says_where_to_get_them(root, tmp_path):
    with pytest.raises(SystemExit, match="apt-get install dataset-fashion-mnist"):
        run(root, tmp_path, "--data", "nowhere")


def test_it_reads_the_files_of_any_folder(root, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 255, (20, 28, 28), dtype=np.uint8)
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(bytes(16) + images.tobytes())
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(bytes(8) + bytes(i % 10 for i in range(20)))
    shown = run(root, tmp_path, "--data", str(tmp_path), "--preprocess", "default", "--heads", "logistic")
    assert "20 images for training, 20 for testing" in shown
