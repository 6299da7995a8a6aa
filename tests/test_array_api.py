"""Inside array API dispatch everything is as outside of it, and tensors are refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.dispatch import CELLS, LABELS


@pytest.fixture(scope="module")
def found(root, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("dispatch")
    cache = {"XDG_CACHE_HOME": str(folder / "user"), "FEATX_CACHE": str(folder / "texts")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.dispatch", str(folder)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, **cache, "SCIPY_ARRAY_API": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same(values: list) -> Any:
    """Numbers but for float32's rounding, as each processor's; names as they are."""
    return values if isinstance(values[0], str) else pytest.approx(values, rel=1e-5)


@pytest.mark.parametrize(("head", "labels"), CELLS)
def test_each_head_takes_labels_of_each_type_and_predicts_outside_too(found, head, labels):
    cell = found["table"][f"{head}, {labels}"]
    assert cell["got"]["labels"] == same(cell["expected"]["labels"])
    assert cell["got"]["labels"] == same(cell["outside"])
    for scorer, scores in cell["expected"]["scores"].items():
        assert np.isfinite(scores).all()
        assert cell["got"]["scores"][scorer] == same(scores), scorer


@pytest.mark.parametrize("labels", LABELS)
def test_a_grid_search_takes_the_better_candidate_by_each_scorer(found, labels):
    for scorer, (poor, good) in found["grids"][labels].items():
        assert good > poor or (scorer == "top_k_accuracy" and good == poor == 1), scorer


def test_tensors_are_refused_by_name(found):
    for name, said in found["refusals"].items():
        which = "y" if name.startswith("y ") else "X"
        assert f"Got {which} as torch.Tensor inside array API dispatch" in said, name
        assert f"{which}.cpu().numpy()" in said, name


def test_a_pipeline_that_was_fitted_there_is_saved_and_exported(found):
    left = found["leave"]
    assert left["model"] == left["bundle"] == left["pipeline"]
