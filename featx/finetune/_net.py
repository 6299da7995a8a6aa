"""skorch's NeuralNet for rows with weights and two tasks; imports skorch, so imported only to train."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import PassthroughScoring

from featx.exceptions import FallbackWarning, TrainingError
from featx.finetune._schedule import schedule

if TYPE_CHECKING:
    from featx.finetune._job import Job

MEASURE = "valid_measure"


@dataclass(frozen=True)
class Settings:
    """What the network is trained by, beside skorch's own parameters.

    Attributes
    ----------
    depths : dict of str to int
        The parameters that are tuned, and how many blocks they are from the end.
    learning_rate, layer_decay, weight_decay : float
        A parameter's rate is learning_rate * layer_decay ** depth.
    factor : callable
        Step -> what the rates are multiplied with.
    columns : ndarray of shape (n_tasks, n_outputs), bool
        Which outputs are whose task.
    fill : float
        What the outputs of another task are for the loss.
    measure : callable
        Outputs, targets -> a number for people.
    mean, std : tuple of float
        Of the pixels.
    train_norms : bool
        Whether batch normalisation that is tuned follows the batches.
    autocast : str or None
        The type to compute in where that is less than float32.
    bar : tqdm.tqdm
    """

    depths: dict[str, int]
    learning_rate: float
    layer_decay: float
    weight_decay: float
    factor: Callable[[int], float]
    columns: np.ndarray
    fill: float
    measure: Callable[[Any, Any], Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_norms: bool
    autocast: str | None
    bar: Any


class TuningNet(NeuralNet):
    """Trains a `Tunable`'s module.

    Parameters
    ----------
    module : torch.nn.Module
    criterion : type
        A loss without reduction.
    settings : Settings
    batch_size : int
    drop_last : bool
        Whether an epoch leaves out what does not fill a batch.
    device : str
    """

    def __init__(
        self, module: Any, criterion: type, settings: Settings, *, batch_size: int, drop_last: bool, device: str
    ):
        import torch

        self.settings = settings
        self.limit: int | None = None
        super().__init__(
            module,
            criterion,
            optimizer=torch.optim.AdamW,
            optimizer__param_groups=list(self._groups(module)),
            criterion__reduction="none",
            batch_size=batch_size,
            iterator_train__shuffle=True,
            iterator_train__collate_fn=_same,
            iterator_train__drop_last=drop_last,
            iterator_valid__collate_fn=_same,
            callbacks=[(MEASURE, PassthroughScoring(name=MEASURE))],
            callbacks__print_log=None,
            device=device,
            verbose=0,
        )

    def initialize(self) -> TuningNet:
        """Note which nodes never train, beside what skorch does."""
        import torch

        super().initialize()
        self.step_ = 0
        norms = torch.nn.modules.batchnorm._BatchNorm
        self.still_ = [
            node
            for node in self.module_.modules()
            if (isinstance(node, norms) and not self.settings.train_norms)
            or (list(node.parameters()) and not any(parameter.requires_grad for parameter in node.parameters()))
        ]
        return self

    def get_split_datasets(self, X: Any, y: Any = None, **_: Any) -> tuple[Any, Any]:
        """The rows come as they are to be split."""
        return X

    def infer(self, x: Any, **_: Any) -> Any:
        """Pixels are normalised on the device; activations are what they are."""
        import torch

        x, settings = x.to(self.device), self.settings
        if x.dtype == torch.uint8:
            mean, std = (
                255 * torch.tensor(values, device=x.device).view(3, 1, 1) for values in (settings.mean, settings.std)
            )
            x = ((x.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        kind = torch.device(self.device).type
        with torch.autocast(kind, getattr(torch, settings.autocast or "bfloat16"), enabled=bool(settings.autocast)):
            return self.module_(x).float()

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """The weighted mean over the rows, each on its own task's outputs."""
        import torch

        y = {key: values.to(self.device) for key, values in y_true.items()}
        own = torch.from_numpy(self.settings.columns).to(self.device)[y["task"]]
        loss = self.criterion_(y_pred.masked_fill(~own, self.settings.fill), y["target"])
        if loss.ndim == 2:
            loss = loss.sum(1) / own.sum(1)
        return (loss * y["weight"]).mean()

    def train_step(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Set the rates of this step, then do it."""
        factor = self.settings.factor(self.step_)
        for group in self.optimizer_.param_groups:
            group["lr"] = group["base"] * factor
        self.step_ += 1
        return super().train_step(batch)

    def train_step_single(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Gradients of a batch; a full GPU gets it in parts, which sum to the same."""
        import torch

        self._set_training(True)
        step = self._fit_in(batch, training=True)
        if not torch.isfinite(step["loss"]):
            raise self.diverged(f"The loss became {step['loss'].item()}")
        return step

    def validation_step(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Loss and outputs of a batch; in parts too."""
        self._set_training(False)
        return self._fit_in(batch, training=False)

    def diverged(self, what: str) -> TrainingError:
        """What is raised when something is no number."""
        return TrainingError(
            f"{what} in epoch {len(self.history) - 1}, at a learning rate of {self.settings.learning_rate:g}. Lower "
            "learning_rate= (a tenth of it, say)."
        )

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **step: Any) -> None:
        """Tell who watches, and measure."""
        if training:
            self.settings.bar.update(len(batch[0]))
        else:
            measure = self.settings.measure(step["y_pred"].cpu(), batch[1]["target"])
            self.history.record_batch(MEASURE, float(measure))

    def _groups(self, module: Any) -> Any:
        """Each parameter is a group: its rate by its depth; decay is for weights, not for norms and biases."""
        settings = self.settings
        for name, parameter in module.named_parameters():
            rate = settings.learning_rate * settings.layer_decay ** settings.depths.get(name, 0)
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            yield name, {"lr": rate, "base": rate, "weight_decay": decay}

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        for node in self.still_:
            node.eval()

    def _fit_in(self, batch: Any, *, training: bool) -> dict[str, Any]:
        """Compute a batch in as few parts as the memory allows."""
        import torch

        n = len(batch[0])
        # Nothing can be normalised by one image.
        most = max(1, n // 2) if training and self.settings.train_norms else n
        while True:
            n_parts = min(math.ceil(n / min(self.limit or n, n)), most)
            try:
                return self._compute(batch, n_parts, training)
            except torch.OutOfMemoryError as error:
                if n_parts == most:
                    raise self._too_large(math.ceil(n / most)) from error
            self._halve(math.ceil(n / n_parts), training)

    def _compute(self, batch: Any, n_parts: int, training: bool) -> dict[str, Any]:
        import torch

        if training:
            self._zero_grad_optimizer()
        (x, y), losses, outputs = batch, [], []
        with torch.set_grad_enabled(training):
            for some in torch.arange(len(x)).tensor_split(n_parts):
                outputs.append(self.infer(x[some]))
                loss = self.get_loss(outputs[-1], {key: values[some] for key, values in y.items()}, training=training)
                losses.append(loss * (len(some) / len(x)))
                if training:
                    losses[-1].backward()
        return {"loss": torch.stack(losses).sum().detach(), "y_pred": torch.cat(outputs).detach()}

    def _halve(self, part: int, training: bool) -> None:
        import torch

        if self.limit is None:
            same = "norms follow each part then" if training and self.settings.train_norms else "otherwise the same"
            warnings.warn(
                f"{self.device} has no memory for {part} images at once: it gets them in parts, which is slower; "
                f"{same}. A smaller batch_size= avoids this.",
                FallbackWarning,
                stacklevel=2,
            )
        self.limit = max(1, part // 2)
        if self.device != "cpu":
            torch.cuda.empty_cache()

    def _too_large(self, n: int) -> TrainingError:
        least = "a single image" if n == 1 else f"{n} images, of which norms need two"
        return TrainingError(
            f"{self.device} has no memory to train on {least}. Tune fewer layers (a later unfreeze=), take smaller "
            "images (preprocess=), or another device=."
        )


def make_net(job: Job, n_rows: int, device: str, bar: Any) -> TuningNet:
    """The net of a job.

    Parameters
    ----------
    job : Job
    n_rows : int
        In an epoch.
    device : str
    bar : tqdm.tqdm

    Returns
    -------
    TuningNet
    """
    p, labels, batch_size = job.parameters, job.tasks[0].labels, job.parameters["batch_size"]
    # Nothing can be normalised by one image.
    drop_last = p["train_norms"] and n_rows > batch_size and n_rows % batch_size == 1
    settings = Settings(
        depths=job.tunable.depths,
        learning_rate=p["learning_rate"],
        layer_decay=p["layer_decay"],
        weight_decay=p["weight_decay"],
        factor=schedule(p["warmup"], p["epochs"] * (math.ceil(n_rows / batch_size) - drop_last)),
        columns=job.columns(),
        fill=labels.fill,
        measure=labels.judge,
        mean=job.spec.preprocess.mean,
        std=job.spec.preprocess.std,
        train_norms=p["train_norms"],
        autocast=None if p["precision"] == "float32" else p["precision"],
        bar=bar,
    )
    return TuningNet(
        job.tunable.module, labels.loss(), settings, batch_size=batch_size, drop_last=drop_last, device=device
    )


def _same(batch: Any) -> Any:
    return batch
