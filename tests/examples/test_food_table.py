from __future__ import annotations

import re
import shutil

import pytest

from tests.examples.test_retrieval import example


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_foods_go_from_raw_files_to_a_bundle(root, tmp_path):
    shown = example(root, tmp_path, "food_table.py", "--limit", "60", "--repeats", "1")
    assert re.search(r"60 foods, \d+ groups of related ones", shown)
    assert re.search(r"both - table only", shown)
    *_, header, first, _, _ = shown.splitlines()
    assert header.split() == ["model", "loaded", "bundle"]
    assert len(set(first.split())) == 1
