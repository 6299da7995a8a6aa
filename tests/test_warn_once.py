"""A process tells once of what is wrong, though scikit-learn and joblib set its filters anew for each task."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from featx._warn_once import warn_once
from featx.exceptions import ImageWarning

GRID = """
import numpy as np
from PIL import Image
from sklearn.model_selection import GridSearchCV, ShuffleSplit
import featx
from tests.networks import tiny_encoder

def main():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3), dtype="uint8") for _ in range(40)]
    for i in (3, 17, 29):
        images[i] = b"no image %d" % i
    images[5] = None
    model = featx.image_pipeline(encoder=tiny_encoder(), cache=False, on_error="nan", on_missing="nan")
    folds = ShuffleSplit(5, random_state=0)
    GridSearchCV(model, {"head__C": [0.1, 1, 10]}, cv=folds, n_jobs=N_JOBS).fit(images, [0, 1] * 20)

if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr("featx._warn_once._told", set())


def told(action: str, *rounds: set[str]) -> int:
    """How many warnings are shown."""
    shown = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda *given: shown.append(given)
        for about in rounds:
            warnings.simplefilter(action)  # wipes Python's own memory
            warn_once(f"about {sorted(about)}", ImageWarning, about, stacklevel=1)
    return len(shown)


def test_what_was_told_is_not_told_again_in_other_words():
    assert told("default", {"a", "b"}, {"a"}, {"b"}, {"a", "b"}) == 1


def test_news_are_told():
    assert told("default", {"a"}, {"a", "b"}, {"c"}) == 3


def test_a_filter_that_says_always_is_obeyed():
    assert told("always", {"a"}, {"a"}, {"a"}) == 3


def test_what_was_ignored_has_not_been_told():
    assert told("ignore", {"a"}) == 0
    assert told("default", {"a"}) == 1


def test_a_filter_that_makes_errors_of_warnings_is_obeyed_each_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(ImageWarning):
                warn_once("a", ImageWarning, {"a"}, stacklevel=1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_grid_search_tells_of_each_bad_image_once_a_process(n_jobs, tmp_path, root):
    script = tmp_path / "grid.py"
    script.write_text(GRID.replace("N_JOBS", str(n_jobs)))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stderr.count("ImageWarning")
    assert 1 <= shown <= 6 * n_jobs
    for i in (3, 17, 29):
        assert f"<{len(b'no image %d' % i)} bytes>" in done.stderr
