"""Every Python block of the README runs, in order, in one namespace."""

from __future__ import annotations

import re
import subprocess
import sys

import matplotlib as mpl
from joblib.externals.loky import get_reusable_executor

from tests.test_pipeline import photo_folder


def blocks(root, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (root / "README.md").read_text(), re.S | re.M)


def test_every_python_block_runs(root, tmp_path, monkeypatch, crops, capsys):
    mpl.use("Agg")
    get_reusable_executor().shutdown()  # workers of earlier tests have their folder, and their cache
    monkeypatch.chdir(tmp_path)
    photo_folder(tmp_path / "photos", crops, 12)
    namespace: dict[str, object] = {}
    for block in blocks(root, "python"):
        if "os.environ" in block:  # it wants a process of its own
            subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
        else:
            exec(compile(block, "README.md", "exec"), namespace)
    shown = capsys.readouterr().out
    assert "no such file" in shown
    assert "photo_0000" in shown


def test_the_first_shell_blocks_do_the_main_job_and_run_the_tests(root):
    first, second = blocks(root, "sh")[:2]
    assert "examples/quickstart.py" in first
    assert "pytest" in second


def test_links_lead_somewhere(root):
    for target in re.findall(r"\]\(([^)#]+)\)", (root / "README.md").read_text()):
        assert target.startswith("https://") or (root / target).exists(), target
