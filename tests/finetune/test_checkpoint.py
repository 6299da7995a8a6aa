"""A checkpoint is of one training, and whole or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import featx
from featx.exceptions import ParameterError
from featx.finetune import FineTuneClassifier, FineTuneRegressor, small_encoder
from featx.finetune._checkpoint import training_key
from featx.images import as_column

TRAINED = """
import sys
from tests.finetune.test_checkpoint import fit_many_epochs

fit_many_epochs(sys.argv[1])
"""

IMAGES = list(np.zeros((2, 4, 4), np.uint8))
OTHER = list(np.ones((2, 4, 4), np.uint8))
Y = np.arange(2)


def tuner(encoder, **parameters) -> FineTuneClassifier:
    return FineTuneClassifier(encoder, **{"unfreeze": "conv2", "max_epochs": 1, "verbose": 0, **parameters})


def fit_many_epochs(folder) -> FineTuneClassifier:
    """Forty short epochs, with all that draws at random."""
    data = load_digits(n_class=3)
    images = (data.images[:40] * 255 / 16).astype(np.uint8)
    model = FineTuneClassifier(
        featx.ImageEncoder(small_encoder(16, 4), cache=False, device="cpu", verbose=0), unfreeze="all",
        train_batch_norm=True, augment="flip+shift", max_epochs=40, batch_size=16, learning_rate=3e-3,
        validation_fraction=0.2, n_iter_no_change=None, checkpoint_dir=folder, verbose=0,
    )  # fmt: skip
    return model.fit(images, data.target[:40])


def epochs_in(folder: Path) -> int:
    """Of the training that is kept there: -1 before the first is."""
    files = list(folder.glob("[!.]*.pt"))
    return len(torch.load(files[0])["history"]) - 1 if files else -1


def test_a_process_that_is_really_killed_is_continued_by_another_one(tmp_path, root):
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
    resumed, never_killed = fit_many_epochs(folder), fit_many_epochs(None)
    assert resumed.encoder_.weights == never_killed.encoder_.weights, f"killed after epoch {kept}"
    assert resumed.head_.coef_.tobytes() == never_killed.head_.coef_.tobytes()
    assert resumed.history_.drop(columns="seconds").equals(never_killed.history_.drop(columns="seconds"))


def test_a_fit_of_known_data_goes_on_from_its_checkpoint(tiny, crops, labels, tmp_path):
    first = tuner(tiny, checkpoint_dir=tmp_path).fit(crops, labels)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = tuner(tiny, checkpoint_dir=tmp_path).fit(crops, labels)
    assert again.encoder_.weights == first.encoder_.weights
    assert file.stat().st_mtime_ns == written
    tuner(tiny, checkpoint_dir=tmp_path).fit(crops, labels[::-1])
    assert len(list(tmp_path.iterdir())) == 2


class Killed(BaseException):
    """What ends a process."""


def noisy(image: torch.Tensor) -> torch.Tensor:
    """Noise, until the process is killed."""
    if noisy.images_left == 0:
        raise Killed
    noisy.images_left -= 1
    return image ^ torch.randint(0, 8, image.shape, dtype=torch.uint8)


@pytest.mark.parametrize("images", [50, 100])
def test_a_killed_fit_goes_on_as_if_nothing_had_happened(tiny, crops, labels, tmp_path, images):
    parameters = {"max_epochs": 4, "augment": noisy, "validation_fraction": 0.2, "learning_rate": 0.01}
    noisy.images_left = images
    with pytest.raises(Killed):
        tuner(tiny, checkpoint_dir=tmp_path, **parameters).fit(crops, labels)
    assert len(list(tmp_path.iterdir())) == 1
    noisy.images_left = 10_000
    resumed = tuner(tiny, checkpoint_dir=tmp_path, **parameters).fit(crops, labels)
    assert 10_000 - noisy.images_left < 4 * 32
    never_killed = tuner(tiny, **parameters).fit(crops, labels)
    assert resumed.encoder_.weights == never_killed.encoder_.weights
    assert resumed.history_["train_loss"].equals(never_killed.history_["train_loss"])


@pytest.fixture
def files_of(tiny, crops, labels, tmp_path):
    """The names of the files that fits with such parameters leave."""

    def fit(*given: dict) -> list[str]:
        found = []
        for parameters in given:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            encoder = parameters.pop("encoder", tiny)
            tuner(encoder, checkpoint_dir=folder, **parameters).fit(crops[::5], labels[::5])
            found += [path.name for path in folder.iterdir()]
        return found

    return fit


def test_a_checkpoint_belongs_to_what_changes_the_weights_alone(files_of, tiny):
    encoder = featx.ImageEncoder(tiny, cache=False, device="cpu", verbose=1)
    one, same, *others = files_of({}, {"encoder": encoder, "verbose": 1}, {"max_epochs": 2}, {"learning_rate": 0.1})
    (all_layers,) = files_of({"unfreeze": "all"})
    assert one == same
    assert len({one, *others, all_layers}) == 4


def test_a_checkpoint_belongs_to_what_the_augment_does(files_of):
    same, as_well, other = (lambda image: image), (lambda image: image), (lambda image: 255 - image)
    found = files_of(*({"augment": augment} for augment in (same, as_well, other, "flip", "shift")))
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_a_number_of_numpys_is_that_number_for_a_checkpoint(files_of):
    numpys = {"unfreeze": np.int64(1), "train_batch_norm": np.bool_(True), "learning_rate": np.float64(1e-3)}
    one, other = files_of(numpys, {"unfreeze": 1, "train_batch_norm": True, "learning_rate": 1e-3})
    assert one == other


def test_a_checkpoint_wants_a_seed(crops):
    with pytest.raises(ParameterError, match="random_state=None"):
        FineTuneRegressor(checkpoint_dir="here", random_state=None).fit(crops, np.arange(40.0))


def test_a_folder_where_nothing_can_be_written_is_refused_before_an_image_is_read(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", *Path("/proc").glob("1")):  # where even root cannot write
        with pytest.raises(ParameterError, match="checkpoint_dir"):
            tuner(tiny, checkpoint_dir=folder).fit([b"no image"] * 4, [0, 1, 0, 1])


def test_what_killed_processes_left_is_deleted_a_day_later(tiny, crops, labels, tmp_path):
    old, new, other = (tmp_path / name for name in (".tmp-old.pt", ".tmp-new.pt", "old.pt"))
    for path, age in ((old, 2), (new, 0), (other, 2)):
        path.touch()
        os.utime(path, (time.time() - age * 24 * 3600,) * 2)
    tuner(tiny, checkpoint_dir=tmp_path).fit(crops, labels)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def key(columns, arrays=(Y,), settings=None, max_pixels=1000) -> str:
    return training_key([as_column(images) for images in columns], list(arrays), settings or {}, max_pixels)


def test_the_same_images_labels_and_settings_have_the_same_key(tmp_path):
    from PIL import Image

    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    assert key([[path]], settings={"max_epochs": 2}) == key([[data]], settings={"max_epochs": 2})


@pytest.mark.parametrize(
    "other",
    [
        {"columns": [OTHER]},
        {"arrays": [Y + 1]},
        {"arrays": [Y.astype(float)]},
        {"settings": {"a": 1}},
        {"max_pixels": 10},
    ],
    ids=str,
)
def test_another_image_label_or_setting_has_another_key(other):
    assert key(**{"columns": [IMAGES], **other}) != key([IMAGES])


def test_an_image_that_is_missing_elsewhere_is_another_key():
    assert key([[None, *OTHER]]) != key([[OTHER[0], None, *OTHER[1:]]])


def test_large_images_have_a_content_where_they_are_allowed():
    assert key([IMAGES], max_pixels=16) != key([OTHER], max_pixels=16)
    large = np.zeros((9500, 9500), np.uint8)
    before = key([[large]], max_pixels=large.size)
    large[0, 0] = 9
    assert key([[large]], max_pixels=large.size) != before
