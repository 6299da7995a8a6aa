from __future__ import annotations

import shutil

import pytest

from tests.examples.test_retrieval import example


@pytest.mark.skipif(not shutil.which("npm"), reason="Node.js and npm are not installed")
def test_node_gives_the_same_labels(root, tmp_path):
    shown = example(root, tmp_path, "node_runtime.py", "--limit", "20")
    assert "20 images, labels equal in Python and in Node: 100.0%" in shown
