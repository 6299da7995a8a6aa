"""A fine-tuning run: from images and targets to a tuned encoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._machine import available_memory
from featx.encoders import Encoder, EncoderSpec, to_node
from featx.exceptions import ImageReadError, InputError
from featx.finetune._checkpoint import Checkpoint, open_checkpoint, training_key
from featx.finetune._data import Inputs, Rows, make_augment, normalize, read_inputs
from featx.finetune._settings import TrainingSettings
from featx.finetune._targets import Targets
from featx.finetune._tunable import TunableNetwork, draw_weights, keep_outputs, make_tunable, set_weights, unwrap

if TYPE_CHECKING:
    import pandas as pd

    from featx.finetune._training import Objective

_TUNED = "-tuned"
# Dropout and augments draw from a generator that all threads share.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class TrainingTask:
    """Images, and what is learned about them.

    Attributes
    ----------
    images : container of images
        n images.
    targets : ClassTargets or RegressionTargets
        Their labels or numbers, and their weights.
    share : float
        What its loss is multiplied by in the sum over all tasks.
    """

    images: Any
    targets: Targets
    share: float = 1.0


@dataclass(frozen=True)
class TuningResult:
    """What a run gives.

    Attributes
    ----------
    encoder : Encoder
        The tuned encoder.
    coef, intercept : ndarray
        The weights of the first task's head.
    history : pandas.DataFrame
        A row for each epoch.
    usable : ndarray of int
        Positions of the first task's images that can be used.
    unseen : ndarray of shape (n_unseen, dim) or None
        Embeddings of images that it was not tuned to; NaN where an image cannot be used.
    """

    encoder: Encoder
    coef: np.ndarray
    intercept: np.ndarray
    history: pd.DataFrame
    usable: np.ndarray
    unseen: np.ndarray | None = None


def fine_tune(
    tasks: Sequence[TrainingTask],
    encoder: ImageEncoder,
    settings: TrainingSettings,
    checkpoint_dir: str | Path | None = None,
    unseen: Any = None,
) -> TuningResult:
    """Read the images, train, and take the results.

    Parameters
    ----------
    tasks : sequence of TrainingTask
        The target's, then the source's if there is one.
    encoder : ImageEncoder
        The encoder that a copy of is tuned, with its device, store and policies.
    settings : TrainingSettings
        How to train.
    checkpoint_dir : str, Path or None, default=None
        Where an interrupted training is kept.
    unseen : container of images, default=None
        Images to embed by the tuned network, from the layer that it was trained from: this takes a part of the time
        that the encoder takes, and no conversion of it.

    Returns
    -------
    TuningResult
        The tuned encoder and the first task's head.

    Raises
    ------
    ParameterError
        If the network cannot be tuned like that, or `checkpoint_dir` cannot be written to.
    ImageReadError, InputError
        If images cannot be used, or a class has no usable image.
    TrainingError
        If the loss becomes NaN or infinite.
    """
    from featx.finetune._training import train_network

    with _ONE_AT_A_TIME:
        extraction = extraction_of(encoder)
        tunable = tunable_network(tasks, encoder, settings)
        # Before the images are read: its folder may not be writable.
        checkpoint = checkpoint_of(tasks, encoder, settings, checkpoint_dir)
        inputs = read_tasks(tasks, encoder, tunable, embeddings=settings.head_init == "probe")
        held_out = _hold_out(tasks[0], inputs[0].usable, settings)
        training = [np.setdiff1d(inputs[0].usable, held_out), *(found.usable for found in inputs[1:])]
        _start_head(tunable, tasks, inputs, training, settings)
        history = train_network(
            tunable,
            objective_of(tasks),
            settings,
            make_rows(tasks, inputs, training, make_augment(settings.augment)),
            make_rows(tasks, inputs, [held_out]) if len(held_out) else None,
            checkpoint,
            preprocess=extraction.spec.preprocess,
            device=extraction.options.device,
            name=extraction.spec.name,
        )
        embedded = None if unseen is None else embed_unseen(unseen, encoder, tunable, settings.batch_size)
        return replace(_take(tunable, tasks[0], encoder, extraction.spec, history, inputs[0].usable), unseen=embedded)


def tunable_network(tasks: Sequence[TrainingTask], encoder: ImageEncoder, settings: TrainingSettings) -> TunableNetwork:
    """Build the network with a head for all tasks, cut where the activations of the images fit into memory."""
    unfreeze = settings.unfreeze
    node = to_node(unfreeze, encoder.encoder) if isinstance(unfreeze, str) else unfreeze
    n_images = sum(len(task.targets.weights) for task in tasks)
    available = available_memory()
    # A quarter: activations are held twice while they are read.
    max_bytes = math.inf if available is None else available / 4 / max(1, n_images)
    return make_tunable(
        extraction_of(encoder).spec, _count_outputs(tasks), node, max_bytes=max_bytes if settings.augment is None else 0
    )


def checkpoint_of(
    tasks: Sequence[TrainingTask],
    encoder: ImageEncoder,
    settings: TrainingSettings,
    checkpoint_dir: str | Path | None,
) -> Checkpoint:
    """Name the file of this training alone."""
    if checkpoint_dir is None:
        return Checkpoint()
    extraction = extraction_of(encoder)
    described = settings.identity()
    described |= {"fingerprint": extraction.spec.fingerprint(), "shares": [task.share for task in tasks]}
    arrays = [array for task in tasks for array in (task.targets.values, task.targets.weights)]
    columns = [column_of(encoder, task.images) for task in tasks]
    key = training_key(columns, arrays, described, extraction.options.max_pixels)
    return open_checkpoint(checkpoint_dir, key)


def read_tasks(
    tasks: Sequence[TrainingTask], encoder: ImageEncoder, tunable: TunableNetwork, *, embeddings: bool
) -> list[Inputs]:
    """Read the images of all tasks; those that weigh nothing are not used."""
    inputs = [_read(tasks[0], encoder, tunable, embeddings)]
    with in_source():
        inputs += [_read(task, encoder, tunable, embeddings) for task in tasks[1:]]
    return inputs


def objective_of(tasks: Sequence[TrainingTask]) -> Objective:
    """Describe what is minimized: the first task's kind of loss, on the outputs of each task."""
    from featx.finetune._training import Objective

    targets = tasks[0].targets
    outputs: np.ndarray = np.zeros((len(tasks), _count_outputs(tasks)), bool)
    for row, first, task in zip(outputs, _first_outputs(tasks), tasks, strict=True):
        row[first : first + task.targets.n_outputs] = True
    return Objective(targets.loss(), outputs, targets.masked_output, targets.metric, targets.metric_name)


def make_rows(
    tasks: Sequence[TrainingTask], inputs: Sequence[Inputs], chosen: Sequence[np.ndarray], augment: Any = None
) -> Rows:
    """Make the rows of the first tasks, at the positions that are chosen of each.

    In the mean over all rows, those of a task weigh its share.
    """
    n = sum(map(len, chosen))
    weights = [
        task.share * n / len(rows) * task.targets.weights[rows] / (task.targets.weights[rows].mean() or 1.0)
        for task, rows in zip(tasks, chosen, strict=False)
    ]
    n_outputs = _count_outputs(tasks)
    return Rows(
        inputs=[found.values for found in inputs[: len(chosen)]],
        targets=[
            task.targets.encode(first, n_outputs) for task, first in zip(tasks, _first_outputs(tasks), strict=True)
        ],
        tasks=np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen]),
        positions=np.concatenate(chosen),
        weights=np.concatenate(weights).astype(np.float32),
        augment=augment,
    )


@contextmanager
def in_source() -> Iterator[None]:
    """Let errors about the images and labels of ``fit(..., source=...)`` say so.

    Raises
    ------
    InputError, ImageReadError
        As they came, with "In source" before them.
    """
    try:
        yield
    except ImageReadError as error:
        error.args = (f"In source: {error}",)
        raise
    except InputError as error:
        raise InputError(f"In source: {error}") from error


def _read(task: TrainingTask, encoder: ImageEncoder, tunable: TunableNetwork, embeddings: bool) -> Inputs:
    found = read_inputs(task.images, encoder, tunable.node, tunable.shape, embeddings=embeddings)
    usable = found.usable[task.targets.weights[found.usable] > 0]
    task.targets.check_usable(usable)
    return Inputs(found.values, found.embeddings, usable)


def embed_unseen(images: Any, encoder: ImageEncoder, tunable: TunableNetwork, batch_size: int) -> np.ndarray:
    """Embed images by a network that has just been tuned; NaN rows for those that cannot be used."""
    import torch

    found = read_inputs(images, encoder, tunable.node, tunable.shape, embeddings=False)
    preprocess = extraction_of(encoder).spec.preprocess
    device = tunable.head.weight.device
    embeddings = np.full((len(found.values), tunable.head.in_features), np.nan, np.float32)
    batch: list[torch.Tensor] = []
    hook = tunable.head.register_forward_pre_hook(lambda _head, inputs: batch.append(inputs[0]))
    try:
        with torch.inference_mode():
            for start in range(0, len(found.usable), batch_size):
                rows = found.usable[start : start + batch_size]
                x = torch.from_numpy(found.values[rows]).to(device)
                is_pixels = x.dtype == torch.uint8
                tunable.module.eval()(normalize(x.permute(0, 3, 1, 2), preprocess) if is_pixels else x)
                embeddings[rows] = batch.pop().cpu().numpy()
    finally:
        hook.remove()
    return embeddings


def _count_outputs(tasks: Sequence[TrainingTask]) -> int:
    return sum(task.targets.n_outputs for task in tasks)


def _first_outputs(tasks: Sequence[TrainingTask]) -> list[int]:
    """Return where the outputs of each task begin."""
    return [0, *np.cumsum([task.targets.n_outputs for task in tasks])[:-1].tolist()]


def _hold_out(task: TrainingTask, usable: np.ndarray, settings: TrainingSettings) -> np.ndarray:
    """Choose the positions of the first task's images that early stopping validates on."""
    if not settings.validation_fraction:
        return np.empty(0, np.int64)
    return task.targets.hold_out(usable, settings.validation_fraction, np.random.RandomState(settings.seed))


def _start_head(
    tunable: TunableNetwork,
    tasks: Sequence[TrainingTask],
    inputs: Sequence[Inputs],
    training: Sequence[np.ndarray],
    settings: TrainingSettings,
) -> None:
    """Give the head its first weights: those of linear models on the embeddings, or small random ones."""
    probes = [
        task.targets.fit_probe(found.embeddings, rows)
        for task, found, rows in zip(tasks, inputs, training, strict=True)
        if found.embeddings is not None
    ]
    if probes:
        set_weights(tunable.head, *(np.concatenate(values) for values in zip(*probes, strict=True)))
    else:
        draw_weights(tunable.head, settings.seed)


def _take(
    tunable: TunableNetwork,
    task: TrainingTask,
    encoder: ImageEncoder,
    spec: EncoderSpec,
    history: pd.DataFrame,
    usable: np.ndarray,
) -> TuningResult:
    """Take the tuned encoder out of the network, and the first task's weights out of the head."""
    network, head = tunable.network.cpu(), tunable.head
    keep_outputs(head, task.targets.n_outputs)
    tuned = Encoder.from_module(
        unwrap(network),
        preprocess=spec.preprocess,
        name=spec.name.removesuffix(_TUNED) + _TUNED,
        # The user's version still stands for what identifies the user's network.
        version=getattr(encoder.encoder, "version", None),
    )
    coef, intercept = (values.detach().numpy().astype(np.float64) for values in (head.weight, head.bias))
    return TuningResult(tuned, coef, intercept, history, usable)
