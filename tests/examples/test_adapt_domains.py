from __future__ import annotations

import re

from PIL import Image

from tests.examples.test_retrieval import example


def test_each_method_has_its_row_and_the_verdict_names_figures_of_the_table(root, tmp_path):
    fewer = ["--limit", "60", "--cv", "3", "--methods", "standardize", "subspace", "deepcoral"]
    shown = example(root, tmp_path, "adapt_domains.py", *fewer, "--chart", "adapt.png")
    assert "source: 60 digits rendered from 12 fonts; target: 60 scanned digits" in shown
    accuracies = {name: float(first) for name, first in re.findall(r"^(\w+) +([\d.]+) .*$", shown, re.M)[:5]}
    assert list(accuracies) == ["source", "standardize", "subspace", "deepcoral", "oracle"]
    assert accuracies["oracle"] > 0.3
    alone = re.findall(r"^(\d+) labels of the target alone: ([\d.]+)$", shown, re.M)
    assert [n for n, _ in alone] == ["20"]  # of 40 that train
    assert 0.15 < float(alone[0][1]) < 1
    said = re.search(r"adaptation (helps|hurts|undecided): accuracy ([\d.]+) with (\w+), the best method", shown)
    assert accuracies[said[3]] == float(said[2])
    with Image.open(tmp_path / "adapt.png") as picture:
        assert min(picture.size) > 200
