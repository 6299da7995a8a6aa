"""What a training depends on beside its images and labels: settings that are checked, and complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from featx.encoders import identify_callable

HEAD_INITS = ("probe", "random")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingSettings:
    """The parameters of an estimator, with nothing left open; `FineTuneClassifier` documents them.

    Attributes
    ----------
    unfreeze : str or int
        Where tuning begins.
    head_init : {"probe", "random"}
        How the head starts.
    max_epochs, batch_size : int
        How long training lasts, and how many images a step takes.
    learning_rate, layer_decay, weight_decay, warmup_fraction : float
        A parameter's rate is ``learning_rate * layer_decay ** depth``, times the schedule's factor.
    augment : str, callable or None
        How images change at random.
    train_batch_norm : bool
        Whether tuned batch normalization follows the batches.
    validation_fraction : float
        The share of the images that early stopping holds out; 0 trains on all of them.
    n_iter_no_change : int or None
        Epochs without a lower validation loss after which training ends; None never ends it.
    precision : {"float32", "bfloat16"}
        The type to compute in.
    seed : int
        Seeds the split, the order and the noise.
    verbose : int
        1 shows a progress bar.
    """

    unfreeze: str | int
    head_init: str
    max_epochs: int
    batch_size: int
    learning_rate: float
    layer_decay: float
    weight_decay: float
    warmup_fraction: float
    augment: str | Callable | None
    train_batch_norm: bool
    validation_fraction: float
    n_iter_no_change: int | None
    precision: str
    seed: int
    verbose: int

    def identity(self) -> dict[str, Any]:
        """Describe what changes the trained weights; an augment function stands there as its digest.

        Raises
        ------
        ParameterError
            If another process could not recognize the augment function.
        """
        described = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "verbose"}
        if callable(self.augment):
            described["augment"] = identify_callable(self.augment, "augment")
        return described
