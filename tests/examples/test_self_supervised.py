from __future__ import annotations

import re

import pytest

from tests.examples.test_retrieval import example
from tests.examples.test_shared_layers import accuracies

pytest.importorskip("lightly", reason="needs pip install 'featx[self-supervised]'")


def test_before_and_after_are_compared_with_few_labels(root, tmp_path):
    arguments = [
        "--start",
        "small",
        "--size",
        "28",
        "--limit",
        "300",
        "--epochs",
        "2",
        "--labels",
        "60",
        "--draws",
        "2",
    ]
    shown = example(root, tmp_path, "self_supervised.py", *arguments, in_torch=True)
    assert "150 images" in shown
    assert "60 labels, 150 test images" in shown
    found = accuracies(shown)
    assert list(found) == ["before", "after"]
    assert min(found.values()) > 0.2
    assert re.search(r"after (helps|hurts|makes no clear difference) against before", shown)


def test_the_default_encoder_is_adapted(root, tmp_path):
    arguments = ["--limit", "200", "--size", "32", "--epochs", "1", "--labels", "60", "--draws", "2", "--batch", "32"]
    assert accuracies(example(root, tmp_path, "self_supervised.py", *arguments, in_torch=True)).keys() == {
        "before",
        "after",
    }
