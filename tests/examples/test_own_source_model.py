from __future__ import annotations

import re

from tests.examples.test_retrieval import example
from tests.examples.test_shared_layers import accuracies


def test_the_source_model_learns_and_every_way_has_its_row(root, tmp_path):
    shown = example(root, tmp_path, "own_source_model.py", "--limit", "160", "--epochs", "8", "--draws", "2")
    assert float(re.search(r"source model: .* images: accuracy ([\d.]+)", shown)[1]) > 0.6
    assert "20 labels, 140 test images" in shown
    found = accuracies(shown)
    assert list(found) == [
        "its own source model",
        "the same, fine-tuned",
        "its untrained network",
        "EfficientNet-Lite0",
    ]
    assert found["EfficientNet-Lite0"] > 0.6
    assert re.search(
        r"its own source model (helps|hurts|makes no clear difference) against its untrained network", shown
    )
