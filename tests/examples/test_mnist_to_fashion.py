from __future__ import annotations

import re

import pytest

from tests.benchmarks.fashion import DATA
from tests.examples.test_retrieval import example
from tests.examples.test_shared_layers import accuracies


@pytest.mark.skipif(not DATA.exists(), reason="Fashion-MNIST is not installed (apt-get install dataset-fashion-mnist)")
def test_both_accuracies_and_the_verdicts_are_printed(root, tmp_path):
    arguments = ["--limit", "100", "--test", "100", "--epochs", "2", "--draws", "2"]
    shown = example(root, tmp_path, "mnist_to_fashion.py", *arguments, in_torch=True)
    assert float(re.search(r"test accuracy ([\d.]+)", shown)[1]) > 0.5
    found = accuracies(shown)
    assert list(found) == ["moved, frozen", "moved and fine-tuned", "trained jointly", "from scratch"]
    assert found["moved, frozen"] > 0.2
    for name in ("moved and fine-tuned", "trained jointly"):
        assert re.search(rf"{name} (helps|hurts|makes no clear difference) against from scratch", shown)
