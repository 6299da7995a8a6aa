"""A model's folder is written whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import featx
from featx.exceptions import ModelError, ParameterError

KILLED = """
import os, signal, sys, featx
from featx.persistence import _save

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(_save, sys.argv[1], die)
featx.save(featx.ImageEncoder(weights="random"), sys.argv[2])
"""


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_model_is_one_folder(tmp_path):
    featx.save(LogisticRegression(), tmp_path / "model")
    assert names(tmp_path) == ["model", "model/model.json", "model/model.skops"]


def test_a_model_that_was_saved_there_is_replaced_with_its_files(tiny, tmp_path):
    featx.save(featx.ImageEncoder(tiny), tmp_path / "model")
    featx.save(LogisticRegression(C=3), str(tmp_path / "model"))
    assert names(tmp_path) == ["model", "model/model.json", "model/model.skops"]
    assert featx.load(tmp_path / "model").C == 3


def test_a_model_may_be_saved_to_where_it_was_loaded_from(tiny, tmp_path, crops):
    featx.save(featx.ImageEncoder(tiny), tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    featx.save(loaded.set_params(batch_size=2), tmp_path / "model")
    again = featx.load(tmp_path / "model")
    assert again.batch_size == 2
    assert again.set_params(cache=False).transform(crops[:1]).shape == (1, 8)


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for _ in range(2):
        featx.save(LogisticRegression(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "model.json").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(ModelError, match="holds something else"):
        featx.save(LogisticRegression(), tmp_path / "photos")
    with pytest.raises(ModelError, match="which is a file"):
        featx.save(LogisticRegression(), tmp_path / "photos" / "a.jpg")
    assert names(tmp_path) == ["photos", "photos/a.jpg"]


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"there is no folder .*nowhere\. Make it first"):
        featx.save(LogisticRegression(), tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("model", [LogisticRegression, "model", None], ids=str)
def test_only_an_estimator_is_a_model(model, tmp_path):
    with pytest.raises(ParameterError, match="Expected a scikit-learn estimator"):
        featx.save(model, tmp_path / "model")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("during", ["rebuild", "dump", "write_record"])
@pytest.mark.parametrize("before", [None, 7])
def test_a_process_that_is_killed_leaves_nothing_that_loads_and_the_model_of_before(during, before, tmp_path, root):
    if before is not None:
        featx.save(LogisticRegression(C=before), tmp_path / "model")
    arguments = [sys.executable, "-c", KILLED, during, str(tmp_path / "model")]
    done = subprocess.run(arguments, check=False, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    left = [folder for folder in tmp_path.iterdir() if folder.name != "model"]
    assert len(left) == 1
    with pytest.raises(ModelError):
        featx.load(left[0])
    if before is None:
        assert not (tmp_path / "model").exists()
    else:
        assert before == featx.load(tmp_path / "model").C


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
@pytest.mark.parametrize("at", [1, 2])
def test_an_interruption_at_the_last_step_restores_the_model_of_before(error, at, tmp_path, monkeypatch):
    featx.save(LogisticRegression(C=7), tmp_path / "model")
    rename, calls = Path.rename, []

    def failing(path, target):
        calls.append(path)
        if len(calls) == at:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ModelError if error is PermissionError else error):
        featx.save(LogisticRegression(C=1), tmp_path / "model")
    assert featx.load(tmp_path / "model").C == 7
    assert os.listdir(tmp_path) == ["model"]
