from __future__ import annotations

import re

from tests.examples.test_retrieval import example


def accuracies(shown: str) -> dict[str, float]:
    """Of each row of an example's table."""
    return {name.strip(): float(mean) for name, mean in re.findall(r"^(.+?) (0\.\d{3})(?: .*)? +\d+$", shown, re.M)}


def test_layers_and_depths_are_compared_on_the_same_images(root, tmp_path):
    shown = example(
        *(root, tmp_path, "shared_layers.py", "--limit", "100", "--size", "32", "--epochs", "1", "--draws", "1"),
        in_torch=True,
    )
    found = accuracies(shown)
    assert list(found)[:5] == [f"{name}, frozen" for name in ("early", "middle", "late", "last", "feature")]
    assert list(found)[5:] == ["unfreeze='head'", "unfreeze='last_block'", "unfreeze=3", "unfreeze='all'"]
    assert all(0.2 < value < 1 for value in found.values())
