from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(not shutil.which("npm"), reason="Node.js and npm are not installed")
def test_node_gives_the_same_labels(root, tmp_path):
    command = [sys.executable, str(root / "examples" / "node_runtime.py"), "--limit", "40"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "40 images, labels equal in Python and in Node: 100.0%" in done.stdout
