"""A checkpoint is of one training, and whole or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from featx.exceptions import FallbackWarning, ParameterError
from featx.finetune._checkpoint import Checkpoint, make_key
from featx.images import as_column
from tests.finetune.test_train import run, weights

IMAGES = as_column(list(np.zeros((2, 4, 4), np.uint8)))
OTHER = as_column(list(np.ones((2, 4, 4), np.uint8)))
Y = np.arange(2)


def test_the_same_images_labels_and_parameters_have_the_same_key(tmp_path):
    from PIL import Image

    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    assert make_key([as_column([path])], [Y], {"epochs": 2}) == make_key([as_column([data])], [Y], {"epochs": 2})


@pytest.mark.parametrize(
    "other", [([OTHER], [Y], {}), ([IMAGES], [Y + 1], {}), ([IMAGES], [Y.astype(float)], {}), ([IMAGES], [Y], {"a": 1})]
)
def test_another_image_label_or_parameter_has_another_key(other):
    assert make_key(*other) != make_key([IMAGES], [Y], {})


def test_a_damaged_checkpoint_is_said_and_training_starts_anew(tmp_path):
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(FallbackWarning, match="damaged"):
        assert weights(run(tmp_path)) == weights(run(None))


def test_trainings_share_a_folder(tmp_path):
    folder = tmp_path / "new" / "folder"
    for key in ("a", "b"):
        Checkpoint(folder, key)
    assert folder.is_dir()
    assert weights(run(folder)) == weights(run(folder)) == weights(run(None))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="checkpoint"):
        Checkpoint(tmp_path / "file", "key")
