from __future__ import annotations

import re

import pytest

import featx
from tests.examples.test_retrieval import example
from tests.text.models import needs_model

pytestmark = needs_model


def test_the_table_has_all_four_arms_and_each_text_is_encoded_once(root, tmp_path):
    shown = example(root, tmp_path, "text_and_images.py", "--limit", "110", "--wrong", "0.2")
    assert re.search(r"110 images of .*; made-up descriptions, 20% of a wrong kind", shown)
    found = {
        name: (float(score), float(low), float(high))
        for name, score, low, high in re.findall(r"^([a-z+ ]+?) +([\d.]+) \[([\d.]+), ([\d.]+)\]$", shown, re.M)
    }
    assert list(found) == ["image", "text", "image + text", "all + price"]
    for score, low, high in found.values():
        assert 0.2 < low < score < high < 1
    said = re.findall(r"^(.+) is (better|worse|not clearly different) .*: ([+-][\d.]+) \[(.+), (.+)\]$", shown, re.M)
    assert [name for name, *_ in said] == ["image + text", "image + text", "all + price"]
    assert float(said[0][2]) == pytest.approx(found["image + text"][0] - found["image"][0], abs=0.002)
    for _, word, _, low, high in said:
        assert (word, float(low) > 0, float(high) < 0) in {
            ("better", True, False),
            ("worse", False, True),
            ("not clearly different", False, False),
        }
    stored = featx.EmbeddingStore(tmp_path / "cache").info().set_index("encoder")
    assert stored.loc["efficientnet_lite0", "rows"] == 110
    assert 60 < stored.loc["all-MiniLM-L6-v2", "rows"] < 110  # some descriptions come twice
