from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_foods_go_from_raw_files_to_a_bundle(root, tmp_path):
    command = [sys.executable, str(root / "examples" / "food_table.py"), "--limit", "90", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"90 foods, \d+ groups of related ones", done.stdout)
    assert re.search(r"both - table only", done.stdout)
    *_, header, first, _, _ = done.stdout.splitlines()
    assert header.split() == ["model", "loaded", "bundle"]
    assert len(set(first.split())) == 1
