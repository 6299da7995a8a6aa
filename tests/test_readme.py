"""Every Python block of the README and of the how-tos runs, in order, in one namespace a page."""

from __future__ import annotations

import re
import subprocess
import sys

import matplotlib as mpl
import pytest
from joblib.externals.loky import get_reusable_executor

from tests.test_pipeline import photo_folder

PAGES = ["README.md", "examples/README.md"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.S | re.M)


@pytest.mark.parametrize(("page", "shown"), [("README.md", "photo_0000"), ("examples/README.md", "no such file")])
def test_every_python_block_runs(root, tmp_path, monkeypatch, crops, capsys, short_timings, page, shown):
    mpl.use("Agg")
    get_reusable_executor().shutdown()  # workers of earlier tests have their folder, and their cache
    monkeypatch.chdir(tmp_path)
    photo_folder(tmp_path / "photos", crops, 12)
    namespace: dict[str, object] = {}
    for block in blocks((root / page).read_text(), "python"):
        if "os.environ" in block:  # it wants a process of its own
            subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
        else:
            exec(compile(block, page, "exec"), namespace)
    assert shown in capsys.readouterr().out


def test_the_first_shell_blocks_do_the_main_job_and_run_the_tests(root):
    first, second = blocks((root / "README.md").read_text(), "sh")[:2]
    assert "examples/quickstart.py" in first
    assert "pytest" in second


def test_the_readme_is_short(root):
    assert len((root / "README.md").read_bytes()) <= 9000


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(root, page):
    links = re.findall(r"\]\(([^)#]+)\)", (root / page).read_text())
    assert links
    for target in links:
        assert target.startswith("https://") or ((root / page).parent / target).exists(), target


def test_every_example_is_on_the_page(root):
    page = (root / "examples" / "README.md").read_text()
    for example in (root / "examples").glob("[!_]*.py"):
        assert f"]({example.name})" in page, example.name
