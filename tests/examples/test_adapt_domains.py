from __future__ import annotations

import re

from PIL import Image

from featx.adapt._methods import METHODS
from tests.examples.test_retrieval import example


def test_each_method_has_its_row_and_the_verdict_names_figures_of_the_table(root, tmp_path):
    shown = example(root, tmp_path, "adapt_domains.py", "--limit", "60", "--draws", "3", "--chart", "adapt.png")
    assert "source: 60 digits rendered from 12 fonts; target: 60 scanned digits" in shown
    accuracies = {name: float(first) for name, first in re.findall(r"^(\w+) +([\d.]+) .*$", shown, re.M)[:8]}
    assert list(accuracies) == [*METHODS, "oracle"]
    assert accuracies["oracle"] > 0.3
    said = re.search(r"adaptation (helps|hurts|undecided): accuracy ([\d.]+) with (\w+), the best method", shown)
    assert accuracies[said[3]] == float(said[2])
    with Image.open(tmp_path / "adapt.png") as picture:
        assert min(picture.size) > 200
