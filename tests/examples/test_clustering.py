from __future__ import annotations

import re

import pytest
from PIL import Image

from tests.examples.test_retrieval import example
from tests.test_pipeline import photo_folder


def test_clusters_are_better_than_chance_and_each_score_lies_in_its_interval(root, tmp_path):
    shown = example(root, tmp_path, "clustering.py", "--limit", "120", "--samples", "60")
    rows = re.findall(r"(-?[\d.]+) \[ *(-?[\d.]+), +(-?[\d.]+)\]", shown.partition("transfer")[0])
    assert len(rows) == 4 * 2
    for value, low, high in (map(float, row) for row in rows):
        assert 0.1 < value < 1
        assert low < value < high
    said = re.findall(
        r"(KMeans|agglomerative): transfer (helps|hurts|makes no clear difference) here: adjusted Rand "
        r"([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]",
        shown,
    )
    assert [method for method, *_ in said] == ["KMeans", "agglomerative"]
    for i, (_, word, gain, low, high) in enumerate(said):
        assert float(gain) == pytest.approx(float(rows[4 * i][0]) - float(rows[4 * i + 2][0]), abs=0.002)
        assert (word == "helps") == (float(low) > 0)
        assert (word == "hurts") == (float(high) < 0)


def test_it_takes_a_folder_of_ones_own_and_draws_its_clusters(root, tmp_path, crops):
    photo_folder(tmp_path / "mine", crops, 12)
    shown = example(root, tmp_path, "clustering.py", "mine", "--samples", "20", "--chart", "clusters.png")
    assert "12 images of mine, 2 labels and as many clusters" in shown
    with Image.open(tmp_path / "clusters.png") as picture:
        assert min(picture.size) > 150  # a row for each of the two clusters
