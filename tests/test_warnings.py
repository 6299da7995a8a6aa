"""Warnings stand at the user's line, and some come once, though joblib sets the filters anew for each task."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from functools import partial

import pytest

import featx
from featx._warnings import warn, warn_once
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
def nothing_reported(monkeypatch):
    monkeypatch.setattr("featx._warnings._reported", set())


def shown_of(action: str, *rounds: set[str]) -> int:
    """How many warnings are shown."""
    shown = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda *given: shown.append(given)
        for about in rounds:
            warnings.simplefilter(action)  # wipes Python's own memory
            warn_once(f"about {sorted(about)}", ImageWarning, about)
    return len(shown)


def test_what_was_reported_is_not_reported_again_in_other_words():
    assert shown_of("default", {"a", "b"}, {"a"}, {"b"}, {"a", "b"}) == 1


def test_news_are_reported():
    assert shown_of("default", {"a"}, {"a", "b"}, {"c"}) == 3


def test_a_filter_that_says_always_is_obeyed():
    assert shown_of("always", {"a"}, {"a"}, {"a"}) == 3


def test_what_was_ignored_has_not_been_reported():
    assert shown_of("ignore", {"a"}) == 0
    assert shown_of("default", {"a"}) == 1


def test_a_filter_that_makes_errors_of_warnings_is_obeyed_each_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(ImageWarning):
                warn_once("a", ImageWarning, {"a"})


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_grid_search_reports_each_bad_image_once_a_process(n_jobs, tmp_path, root):
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


def line_of(call) -> tuple[str, int]:
    """The file and the line that a call's one warning is shown at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (warning,) = caught
    return warning.filename, warning.lineno


@pytest.mark.parametrize("function", [warn, partial(warn_once, about={"a"})])
def test_a_warning_stands_at_the_line_that_called_featx(function):
    module = {"__name__": "featx.made_up", "function": function}
    exec("def inner(*given):\n    function(*given)\ndef outer(*given):\n    inner(*given)", module)

    def call():
        module["outer"]("a", ImageWarning)

    assert line_of(call) == (__file__, call.__code__.co_firstlineno + 1)


def test_a_warning_from_within_a_pipeline_stands_at_the_users_line(tiny, crops):
    model = featx.image_pipeline(encoder=tiny, cache=False, on_error="nan").fit(crops[:9], [0, 1, 1] * 3)

    def call():
        model.predict([*crops[:8], b"no image either"])

    assert line_of(call) == (__file__, call.__code__.co_firstlineno + 1)
