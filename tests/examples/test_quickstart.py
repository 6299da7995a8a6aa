from __future__ import annotations

import re
import subprocess
import sys

from PIL import Image

from tests.examples.test_retrieval import example
from tests.test_pipeline import photo_folder


def test_it_does_the_main_job_on_patches_of_photos(root, tmp_path):
    """In a process of its own, as the README starts it."""
    command = [sys.executable, str(root / "examples" / "quickstart.py"), "--limit", "200"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "200 images, 14 classes, 4-fold" in shown
    accuracies = [float(value) for value in re.findall(r"accuracy with.*?: +([\d.]+)", shown)]
    with_transfer, without = accuracies
    assert with_transfer > 0.6 > without
    assert re.search(r"transfer helps here: \+[\d.]+ \+- [\d.]+ points", shown)
    first, second = map(float, re.search(r"first run ([\d.]+) s, second run ([\d.]+) s", shown).groups())
    assert second < first / 5
    with Image.open(tmp_path / "cache" / "quickstart.png") as picture:
        assert min(picture.size) > 500
    assert "saved cache/quickstart.joblib" in shown


def test_it_takes_a_folder_of_ones_own(root, tmp_path, crops):
    photo_folder(tmp_path / "mine", crops, 20)
    shown = example(root, tmp_path, "quickstart.py", "mine", "--picture", "mine.png", "--model", "mine.joblib")
    assert "20 images, 2 classes" in shown
    assert (tmp_path / "mine.png").exists()


def test_on_digits_transfer_hurts(root, tmp_path):
    shown = example(root, tmp_path, "quickstart.py", "--digits", "--limit", "400")
    assert "400 images, 10 classes, 5-fold" in shown
    assert re.search(r"transfer hurts here: -[\d.]+ \+- [\d.]+ points", shown)
