"""Tasks weigh in the loss what they should."""

from __future__ import annotations

import numpy as np
import pytest

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import ImageErrors, InputError, ParameterError
from featx.finetune import FineTuneClassifier, _job
from featx.finetune._classes import Classes
from featx.finetune._job import Job, Task, _settle


def job(tiny, *tasks: Task, **parameters) -> Job:
    return Job(
        FineTuneClassifier(tiny, **parameters).get_params(deep=False), featx.ImageEncoder(tiny, verbose=0), tasks, 0
    )


def task(images, classes: int, share: float = 1.0, weight: float = 1.0) -> Task:
    labels = Classes(np.arange(len(images)) % classes, len(images))
    return Task(images, labels, weight * (1.0 + np.arange(len(images))), share)


def test_each_task_has_outputs_of_its_own(crops, tiny):
    both = job(tiny, task(crops, 2), task(crops, 3))
    assert both.columns().astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert both.tunable.head.out_features == 5


def test_the_mean_over_all_rows_is_the_weighted_sum_of_both_losses(crops, tiny):
    both = job(tiny, task(crops[:10], 2, weight=7.0), task(crops, 3, share=0.25))
    inputs = [np.zeros((10, 2), np.float32), np.zeros((40, 2), np.float32)]
    rows = both._rows(inputs, [np.arange(8), np.arange(40)])
    assert len(rows) == 48
    assert rows.weights[rows.tasks == 0].sum() / 48 == pytest.approx(1)
    assert rows.weights[rows.tasks == 1].sum() / 48 == pytest.approx(0.25)
    assert rows.weights[1] / rows.weights[0] == pytest.approx(2)


def test_a_portable_name_is_the_node_that_it_stands_for(crops, tiny):
    assert tiny.stages["last"] == "conv2"
    assert job(tiny, task(crops, 2), unfreeze="last").tunable.depths == job(tiny, task(crops, 2)).tunable.depths


def test_a_checkpoint_belongs_to_what_changes_the_weights_alone(crops, tiny, tmp_path):
    def file(**parameters):
        return job(tiny, task(crops, 2), checkpoint=tmp_path, **parameters).checkpoint()._path

    assert file() == file(verbose=0, device="cpu")
    assert len({file(), file(epochs=3), file(learning_rate=0.1), file(unfreeze="all")}) == 4


def test_a_checkpoint_belongs_to_what_the_augment_does(crops, tiny, tmp_path):
    def file(augment):
        return job(tiny, task(crops, 2), checkpoint=tmp_path, augment=augment).checkpoint()._path

    assert file(lambda image: image) == file(lambda image: image) != file(lambda image: 255 - image)
    assert file("flip") != file("shift")


def test_a_number_of_numpys_is_that_number_for_a_checkpoint(crops, tiny, tmp_path):
    def file(**parameters):
        return job(tiny, task(crops, 2), checkpoint=tmp_path, **parameters).checkpoint()._path

    assert file(unfreeze=np.int64(1), train_norms=np.bool_(True)) == file(unfreeze=1, train_norms=True)


def test_a_folder_of_no_use_is_said_before_an_image_is_read(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="checkpoint"):
        job(tiny, task([b"no image"] * 4, 2), checkpoint=tmp_path / "file").run()


def test_rows_that_weigh_nothing_are_not_used(crops, tiny):
    weightless = task(crops, 2)
    weightless.weights[::3] = 0
    _, _, usable = weightless.read(featx.ImageEncoder(tiny, verbose=0), job(tiny, task(crops, 2)).tunable, probe=False)
    assert usable.tolist() == np.flatnonzero(np.arange(40) % 3).tolist()
    weightless.weights[::2] = 0
    with pytest.raises(InputError, match="class 0"):
        job(tiny, weightless).run()


def test_errors_of_the_source_say_so(crops, tiny):
    with pytest.raises(ImageErrors, match=r"In source: 1 of 40.*(\n.*)*row 0"):
        job(tiny, task(crops, 2), task([b"no image", *crops[1:]], 2)).run()
    weightless = task(crops, 2)
    weightless.weights[::2] = 0
    with pytest.raises(InputError, match=r"In source.*class 0"):
        job(tiny, task(crops, 2), weightless).run()


def test_activations_that_would_fill_the_memory_are_not_held(crops, tiny, monkeypatch):
    assert job(tiny, task(crops, 2), unfreeze="conv2").tunable.node == "norm1"
    monkeypatch.setattr(_job, "available_memory", lambda: 4 * 40 * 5400 - 1)
    assert job(tiny, task(crops, 2), unfreeze="conv2").tunable.node is None


def test_what_comes_out_is_an_encoder_with_the_first_tasks_head(crops, tiny):
    tuned = job(tiny, task(crops, 2), task(crops, 3), epochs=1, unfreeze="conv2").run()
    assert tuned.coef.shape == (2, 8)
    logits = featx.ImageEncoder(tuned.encoder, layers="logits", verbose=0).transform(crops)
    Z = featx.ImageEncoder(tuned.encoder, verbose=0).transform(crops)
    np.testing.assert_allclose(Z @ tuned.coef.T + tuned.intercept, logits, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ({}, (False, "probe")),
        ({"weights": "random"}, (True, "random")),
        ({"weights": "random", "start": "probe"}, (True, "probe")),
        ({"weights": "random", "train_norms": False}, (False, "probe")),
        ({"train_norms": True}, (True, "random")),
    ],
    ids=str,
)
def test_where_norms_follow_the_batches_no_probe_is_asked(given, settled):
    parameters = FineTuneClassifier("resnet18", **given).get_params(deep=False)
    (spec,) = extraction_of(featx.ImageEncoder("resnet18", weights=parameters["weights"])).specs
    found = _settle(parameters, spec)
    assert (found["train_norms"], found["start"]) == settled
