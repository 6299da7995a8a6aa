from __future__ import annotations

import contextlib
import io
import re
import runpy
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.test_pipeline import photo_folder


def example(root, tmp_path, name: str, *arguments: str, in_torch: bool = False) -> str:
    """Run an example as a script, in this process: another one would import torch anew.

    In torch, as where OpenVINO cannot run, networks that are tuned and used once are not converted.
    """
    before, shown = set(sys.modules), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.syspath_prepend(str(root / "examples"))
        patch.setattr(sys, "argv", [name, *arguments])
        if in_torch:
            patch.setattr("featx.runtimes._choose._runs_openvino", lambda: False)
        try:
            with contextlib.chdir(tmp_path), contextlib.redirect_stdout(shown):
                runpy.run_path(str(root / "examples" / name), run_name="__main__")
        finally:
            for module in ("_draws", "_images"):
                if module not in before:
                    sys.modules.pop(module, None)
    return shown.getvalue()


def scores(shown: str) -> dict[str, list[float]]:
    """Of each kind of features, in the table's order."""
    return {
        name: [*map(float, row.split())] for name, row in re.findall(r"^(\w+ \w+|\w+ \(.*?\)) +([\d. ]+)$", shown, re.M)
    }


def test_neighbours_are_better_than_chance_and_the_answer_is_plain(root, tmp_path):
    shown = example(root, tmp_path, "retrieval.py", "--limit", "120", "--chart", "found.png")
    found = scores(shown)
    assert found.keys() == {"embeddings (efficientnet_lite0)", "raw pixels"}
    for at_one, at_ten, average in found.values():
        assert 0.3 < at_ten <= at_one
        assert 0.2 < average < 1
    gain = 100 * np.diff([average for *_, average in reversed(found.values())])[0]
    said = re.search(r"transfer (helps|hurts|makes no clear difference) here: ([+-][\d.]+) \+- [\d.]+ points", shown)
    assert abs(float(said[2]) - gain) < 0.2
    with Image.open(tmp_path / "found.png") as picture:
        assert min(picture.size) > 300


def test_a_folder_of_ones_own_may_hold_few_images(root, tmp_path, crops):
    photo_folder(tmp_path / "mine", crops, 6)
    shown = example(root, tmp_path, "retrieval.py", "mine")
    assert "6 images of mine, 2 labels" in shown
    assert "precision at 5" in shown
