"""A checkpoint is of one training, and whole or nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from featx.exceptions import FallbackWarning, ParameterError
from featx.finetune import FineTuneClassifier, small_encoder
from featx.finetune._checkpoint import Checkpoint, make_key
from featx.images import as_column
from tests.finetune.test_train import run, weights

TRAINED = """
import sys
from tests.finetune.test_checkpoint import fit

fit(sys.argv[1])
"""

IMAGES = list(np.zeros((2, 4, 4), np.uint8))
OTHER = list(np.ones((2, 4, 4), np.uint8))
Y = np.arange(2)


def fit(folder) -> FineTuneClassifier:
    """Forty short epochs, with all that draws at random."""
    data = load_digits(n_class=3)
    images = (data.images[:40] * 255 / 16).astype(np.uint8)
    model = FineTuneClassifier(
        small_encoder(16, 4), unfreeze="all", train_norms=True, augment="flip+shift", epochs=40, batch_size=16,
        learning_rate=3e-3, validation=0.2, patience=None, checkpoint=folder, cache=False, device="cpu", verbose=0,
    )  # fmt: skip
    return model.fit(images, data.target[:40])


def epochs_in(folder: Path) -> int:
    """Of the training that is kept there: -1 before the first is."""
    files = list(folder.glob("*.pt"))
    return len(torch.load(files[0])["history"]) - 1 if files else -1


def test_a_process_that_is_really_killed_is_taken_up_by_another_one(tmp_path, root):
    epoch = int(np.random.default_rng(0).integers(1, 15))
    for attempt in range(20):  # on a busy machine one may finish before it is killed
        folder = tmp_path / str(attempt)
        process = subprocess.Popen([sys.executable, "-c", TRAINED, str(folder)], cwd=root)
        while epochs_in(folder) < epoch and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        if process.wait() != 0:
            break
    kept = epochs_in(folder)
    assert epoch <= kept < 40
    resumed, never_killed = fit(folder), fit(None)
    assert resumed.encoder_.weights == never_killed.encoder_.weights, f"killed after epoch {kept}"
    assert resumed.head_.coef_.tobytes() == never_killed.head_.coef_.tobytes()
    assert resumed.history_.drop(columns="seconds").equals(never_killed.history_.drop(columns="seconds"))


def key(columns, arrays=(Y,), plain=None, max_pixels=1000) -> str:
    return make_key([as_column(images) for images in columns], list(arrays), plain or {}, max_pixels)


def test_the_same_images_labels_and_parameters_have_the_same_key(tmp_path):
    from PIL import Image

    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    assert key([[path]], plain={"epochs": 2}) == key([[data]], plain={"epochs": 2})


@pytest.mark.parametrize(
    "other",
    [
        {"columns": [OTHER]},
        {"arrays": [Y + 1]},
        {"arrays": [Y.astype(float)]},
        {"plain": {"a": 1}},
        {"max_pixels": 10},
    ],
    ids=str,
)
def test_another_image_label_or_parameter_has_another_key(other):
    assert key(**{"columns": [IMAGES], **other}) != key([IMAGES])


def test_an_image_that_is_missing_elsewhere_is_another_key():
    assert key([[None, *OTHER]]) != key([[OTHER[0], None, *OTHER[1:]]])


def test_large_images_have_a_content_where_they_are_allowed():
    assert key([IMAGES], max_pixels=16) != key([OTHER], max_pixels=16)
    large = np.zeros((9500, 9500), np.uint8)
    before = key([[large]], max_pixels=large.size)
    large[0, 0] = 9
    assert key([[large]], max_pixels=large.size) != before


def test_a_damaged_checkpoint_is_said_and_training_starts_anew(tmp_path):
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(FallbackWarning, match="damaged"):
        assert weights(run(tmp_path)) == weights(run(None))


def test_a_checkpoint_of_another_structure_is_said_and_training_starts_anew(tmp_path):
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    state = torch.load(file)
    for values in state["module"].values():
        values.fill_(7.0)
    state["module"]["3.bias"] = torch.zeros(9)
    torch.save(state, file)
    with pytest.warns(FallbackWarning, match="damaged"):
        assert weights(run(tmp_path)) == weights(run(None))


def test_a_full_disk_is_said_once_and_training_goes_on(tmp_path, full_disk):
    with full_disk(2000), pytest.warns(FallbackWarning, match="was not written") as told:
        trained = run(tmp_path)
    assert weights(trained) == weights(run(None))
    assert len(told) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_of_a_training_is_deleted(tmp_path):
    names = ["key.12", "other.12", "other.pt"]
    for name in names:
        (tmp_path / name).touch()
    run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pt", "other.12", "other.pt"]


def test_trainings_share_a_folder_and_have_a_file_each(tmp_path):
    folder = tmp_path / "new" / "folder"
    alone = {seed: weights(run(None, seed=seed)) for seed in (3, 4)}
    for _ in range(2):
        for seed in alone:
            assert weights(run(folder, key=f"key{seed}", seed=seed)) == alone[seed]
    assert sorted(path.name for path in folder.iterdir()) == ["key3.pt", "key4.pt"]


def test_a_folder_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", *Path("/proc").glob("1")):  # where even root cannot write
        with pytest.raises(ParameterError, match="checkpoint"):
            Checkpoint(folder, "key")
