"""One training: from images to a tuned network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import available_memory
from featx.encoders import Encoder, EncoderSpec, identify_callable, to_node
from featx.exceptions import ImageErrors, InputError
from featx.finetune._augment import make_augment
from featx.finetune._checkpoint import Checkpoint, make_key
from featx.finetune._classes import Classes
from featx.finetune._head import draw_weights, keep_outputs, own_network, set_weights
from featx.finetune._inputs import read_inputs
from featx.finetune._numbers import Numbers
from featx.finetune._rows import Rows
from featx.finetune._tunable import Tunable, make_tunable
from featx.images import as_column

if TYPE_CHECKING:
    import pandas as pd

_TUNED = "-tuned"
# Change nothing that is trained, or are told in other ways.
_ASIDE = ("encoder", "weights", "preprocess", "device", "cache", "checkpoint", "on_error", "on_missing", "verbose")


@dataclass(frozen=True)
class Task:
    """Images, and what is to be told of them.

    Attributes
    ----------
    images : container of images
    labels : Classes or Numbers
    weights : ndarray of shape (n,)
    share : float
        What its loss is multiplied with in the sum of all tasks'.
    """

    images: Any
    labels: Classes | Numbers
    weights: np.ndarray
    share: float = 1.0

    def read(self, encoder: ImageEncoder, tunable: Tunable, *, probe: bool) -> tuple[np.ndarray, Any, np.ndarray]:
        """As `read_inputs`; rows that weigh nothing are not used."""
        inputs, embeddings, usable = read_inputs(self.images, encoder, tunable, probe=probe)
        usable = usable[self.weights[usable] > 0]
        self.labels.check(usable)
        return inputs, embeddings, usable


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Attributes
    ----------
    encoder : Encoder
    coef, intercept : ndarray
        Of the first task's head.
    history : pandas.DataFrame
    usable : ndarray of int
        Positions of the first task's images that can be used.
    """

    encoder: Encoder
    coef: np.ndarray
    intercept: np.ndarray
    history: pd.DataFrame
    usable: np.ndarray


class Job:
    """A training, of parameters that are the estimator's.

    Parameters
    ----------
    parameters : dict
    encoder : ImageEncoder
    tasks : sequence of Task
        The target's, then the source's if there is one.
    seed : int

    Raises
    ------
    ParameterError
        If the network cannot be tuned so.
    """

    def __init__(self, parameters: dict[str, Any], encoder: ImageEncoder, tasks: Sequence[Task], seed: int):
        self._extraction = extraction_of(encoder)
        self.spec = self._extraction.spec
        self.parameters = _settle(parameters, self.spec)
        self.tasks = tasks
        self.seed = seed
        self.n_outputs = sum(task.labels.n_outputs for task in tasks)
        unfreeze = to_node(self.parameters["unfreeze"], encoder.encoder)
        n_images = sum(len(task.weights) for task in tasks)
        room = _room(n_images) if parameters["augment"] is None else 0
        self.tunable = make_tunable(self.spec, self.n_outputs, unfreeze, room=room)
        self._encoder = encoder

    def run(self) -> Tuned:
        """Read the images, train, and take the results.

        Raises
        ------
        ImageErrors, InputError
            As of `read_inputs`; if a class has no usable image.
        TrainingError
            If the loss is no number.
        """
        from featx.finetune._train import curves, train_seeded

        probe = self.parameters["start"] == "probe"
        checkpoint = self.checkpoint()  # before the images are read: its folder may be of no use
        read = [self.tasks[0].read(self._encoder, self.tunable, probe=probe)]
        with in_source():
            read += [task.read(self._encoder, self.tunable, probe=probe) for task in self.tasks[1:]]
        inputs, embeddings, usable = zip(*read, strict=True)
        held_out = self._hold_out(usable[0])
        training = [np.setdiff1d(usable[0], held_out), *usable[1:]]
        self._start(embeddings, training)
        train_rows = self._rows(inputs, training, make_augment(self.parameters["augment"]))
        valid_rows = self._rows(inputs, [held_out]) if len(held_out) else None
        net = train_seeded(self, train_rows, valid_rows, checkpoint)
        return self._take(curves(net, self.tasks[0].labels.measure), usable[0])

    def checkpoint(self) -> Checkpoint:
        """The file of this training alone."""
        folder = self.parameters["checkpoint"]
        if folder is None:
            return Checkpoint(None, "")
        plain = {name: value for name, value in self.parameters.items() if name not in _ASIDE}
        if callable(plain["augment"]):
            plain["augment"] = identify_callable(plain["augment"], "augment")
        plain |= {"seed": self.seed, "fingerprint": self.spec.fingerprint(), "shares": [t.share for t in self.tasks]}
        arrays = [array for task in self.tasks for array in (task.labels.targets, task.weights)]
        columns = [as_column(task.images) for task in self.tasks]
        return Checkpoint(folder, make_key(columns, arrays, plain, self._extraction.options.max_pixels))

    @cached_property
    def firsts(self) -> list[int]:
        """Where each task's outputs begin."""
        return [0, *np.cumsum([task.labels.n_outputs for task in self.tasks])[:-1].tolist()]

    def columns(self) -> np.ndarray:
        """Which outputs are whose task, (n_tasks, n_outputs)."""
        own = np.zeros((len(self.tasks), self.n_outputs), bool)
        for row, first, task in zip(own, self.firsts, self.tasks, strict=True):
            row[first : first + task.labels.n_outputs] = True
        return own

    def _hold_out(self, usable: np.ndarray) -> np.ndarray:
        fraction = self.parameters["validation"]
        if not fraction:
            return np.empty(0, np.int64)
        return self.tasks[0].labels.hold_out(usable, fraction, np.random.RandomState(self.seed))

    def _start(self, embeddings: Sequence[np.ndarray | None], training: Sequence[np.ndarray]) -> None:
        """The head's first weights: those of linear models on the embeddings, or small random ones."""
        if embeddings[0] is None:
            draw_weights(self.tunable.head, self.seed)
            return
        found = [
            task.labels.probe(Z, rows, task.weights[rows])
            for task, Z, rows in zip(self.tasks, embeddings, training, strict=True)
        ]
        set_weights(self.tunable.head, *(np.concatenate(values) for values in zip(*found, strict=True)))

    def _rows(self, inputs: Sequence[np.ndarray], chosen: Sequence[np.ndarray], augment: Any = None) -> Rows:
        """The rows of all tasks; each task's weigh, in the mean over all rows, its share."""
        n = sum(map(len, chosen))
        weights = [
            task.share * n / len(rows) * task.weights[rows] / (task.weights[rows].mean() or 1.0)
            for task, rows in zip(self.tasks, chosen, strict=False)
        ]
        return Rows(
            inputs=inputs[: len(chosen)],
            targets=[
                task.labels.at(first, self.n_outputs) for task, first in zip(self.tasks, self.firsts, strict=True)
            ],
            tasks=np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen]),
            positions=np.concatenate(chosen),
            weights=np.concatenate(weights).astype(np.float32),
            augment=augment,
        )

    def _take(self, history: pd.DataFrame, usable: np.ndarray) -> Tuned:
        network, head = self.tunable.network.cpu(), self.tunable.head
        keep_outputs(head, self.tasks[0].labels.n_outputs)
        name = self.spec.name.removesuffix(_TUNED) + _TUNED
        # The user's version still stands for what cannot be told of the user's network.
        version = getattr(self._encoder.encoder, "version", None)
        encoder = Encoder.from_module(own_network(network), preprocess=self.spec.preprocess, name=name, version=version)
        coef, intercept = (values.detach().numpy().astype(np.float64) for values in (head.weight, head.bias))
        return Tuned(encoder, coef, intercept, history, usable)


@contextmanager
def in_source() -> Iterator[None]:
    """Errors of the images and labels in ``fit(..., source=...)`` say so.

    Raises
    ------
    InputError, ImageErrors
        As they came, with a word more.
    """
    try:
        yield
    except ImageErrors as error:
        error.args = (f"In source: {error}",)
        raise
    except InputError as error:
        raise InputError(f"In source: {error}") from error


def _room(n_images: int) -> float:
    """Bytes of memory that the activations of an image may take; they are held twice while they are read."""
    available = available_memory()
    return math.inf if available is None else available / 4 / max(1, n_images)


def _settle(parameters: dict[str, Any], spec: EncoderSpec) -> dict[str, Any]:
    """Choose what None leaves open; numpy's numbers, as a grid has them, become Python's."""
    parameters = {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}
    norms, start = parameters["train_norms"], parameters["start"]
    norms = spec.weights.startswith("random:") if norms is None else norms
    return {**parameters, "train_norms": norms, "start": start or ("random" if norms else "probe")}
