"""Epoch by epoch: train, validate, keep the best weights, save what a killed process needs to go on.

It imports skorch, so it is imported only to train.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import PassthroughScoring
from skorch.history import History

from featx._process import float32_mode
from featx._warnings import warn
from featx.exceptions import FallbackWarning, TrainingError
from featx.extraction import progress_bar
from featx.finetune._checkpoint import Checkpoint
from featx.finetune._data import Rows, normalize
from featx.finetune._settings import TrainingSettings
from featx.finetune._tunable import TunableNetwork
from featx.images import Preprocess
from featx.runtimes import check_devices, check_precision, choose, folded_while_training

if TYPE_CHECKING:
    import pandas as pd

_METRIC = "valid_metric"
_SEEDS = 2**32


@dataclass(frozen=True)
class Objective:
    """What training minimizes, and what is measured beside it.

    Attributes
    ----------
    loss : type
        A loss of torch, which is computed for each row.
    outputs : ndarray of shape (n_tasks, n_outputs), bool
        Which outputs belong to which task.
    masked_output : float
        What the outputs of another task are for the loss.
    metric : callable
        Outputs, targets -> a number for people.
    metric_name : str
        What the history calls it.
    """

    loss: type
    outputs: np.ndarray
    masked_output: float
    metric: Callable[[Any, Any], float]
    metric_name: str


class TuningNet(NeuralNet):
    """Train a network on rows with weights, of one task or of several.

    Parameters
    ----------
    module : torch.nn.Module
        What is trained.
    depths : dict of str to int
        The parameters that are tuned, and how many blocks they are from the end.
    objective : Objective
        What is minimized.
    settings : TrainingSettings
        Rates, sizes and the seed.
    preprocess : Preprocess
        Its mean and std normalize pixels.
    n_rows : int
        Rows of an epoch.
    device : str
        Where it trains.
    bar : tqdm.tqdm
        Shows the progress.
    """

    def __init__(
        self,
        module: Any,
        depths: dict[str, int],
        objective: Objective,
        settings: TrainingSettings,
        *,
        preprocess: Preprocess,
        n_rows: int,
        device: str,
        bar: Any,
    ):
        import torch

        batch_size = settings.batch_size
        # Batch normalization needs two images.
        drop_last = settings.train_batch_norm and n_rows > batch_size and n_rows % batch_size == 1
        self.objective = objective
        self.settings = settings
        self.preprocess = preprocess
        self.bar = bar
        self.steps_per_epoch = math.ceil(n_rows / batch_size) - drop_last
        self.factor = schedule(settings.warmup_fraction, settings.max_epochs * self.steps_per_epoch)
        self.max_part: int | None = None
        super().__init__(
            module,
            objective.loss,
            optimizer=torch.optim.AdamW,
            optimizer__param_groups=list(_groups(module, depths, settings)),
            optimizer__fused=True,  # one pass over each parameter instead of ten
            criterion__reduction="none",
            batch_size=batch_size,
            iterator_train__shuffle=True,
            iterator_train__collate_fn=_same,
            iterator_train__drop_last=drop_last,
            iterator_valid__collate_fn=_same,
            callbacks=[(_METRIC, PassthroughScoring(name=_METRIC))],
            callbacks__print_log=None,
            device=device,
            verbose=0,
        )

    def initialize(self) -> TuningNet:
        """Initialize skorch's parts, and list the nodes that never train."""
        import torch

        super().initialize()
        self.step_ = 0
        self.best_ = self._weights()
        norms = torch.nn.modules.batchnorm._BatchNorm
        self.frozen_nodes_ = [
            node
            for node in self.module_.modules()
            if (isinstance(node, norms) and not self.settings.train_batch_norm)
            or (list(node.parameters()) and not any(parameter.requires_grad for parameter in node.parameters()))
        ]
        return self

    # --- epochs

    def begin(self, valid_rows: Rows | None) -> None:
        """Record epoch 0: how good the network is before it is trained."""
        self.history.new_epoch()
        if valid_rows is None:
            return
        iterator = self.get_iterator(valid_rows)
        self.run_single_epoch(iterator, training=False, prefix="valid", step_fn=self.validation_step)
        batches = self.history[-1, "batches", :]
        sizes = [batch["valid_batch_size"] for batch in batches]
        for name in ("valid_loss", _METRIC):
            self.history.record(name, float(np.average([batch[name] for batch in batches], weights=sizes)))
        self._check_validation_loss()

    def goes_on(self) -> bool:
        """Decide whether another epoch follows."""
        n_epochs = len(self.history) - 1
        patience = self.settings.n_iter_no_change
        return n_epochs < self.settings.max_epochs and (patience is None or n_epochs - self._best_epoch() < patience)

    def fit_epoch(self, train_rows: Rows, valid_rows: Rows | None) -> None:
        """Train for an epoch, whose order and noise depend on the seed and the epoch alone."""
        epoch = len(self.history)
        _seed((self.settings.seed + epoch) % _SEEDS, self.device)
        self.step_ = (epoch - 1) * self.steps_per_epoch
        self.fit_loop((train_rows, valid_rows), epochs=1)
        self._check_validation_loss()
        self.history.record("learning_rate", max(group["lr"] for group in self.optimizer_.param_groups))
        if self._best_epoch() == epoch:
            self.best_ = self._weights()
        self._show_epoch()

    def finish(self, train_rows: Rows) -> None:
        """Take the best weights, and check that they give numbers."""
        self.bar.update(self.bar.total - self.bar.n)  # training may have stopped early
        self.module_.load_state_dict(self.best_)
        batch = next(iter(self.get_iterator(replace(train_rows, augment=None))))
        if not np.isfinite(self.validation_step(batch)["loss"].item()):
            raise self._diverged("The trained network's outputs became infinite or NaN")

    def show_start(self, n_rows: int) -> None:
        """Let the progress bar begin after the epochs that are done, of so many rows each."""
        self.bar.n = self.bar.initial = (len(self.history) - 1) * n_rows

    # --- interruptions

    def training_state(self) -> dict[str, Any]:
        """Collect what `resume` continues from: tensors and plain numbers."""
        return {
            "module": self.module_.state_dict(),
            "optimizer": self.optimizer_.state_dict(),
            "best": self.best_,
            "history": [
                {key: float(value) for key, value in epoch.items() if key != "batches"} for epoch in self.history
            ],
        }

    def resume(self, state: dict[str, Any]) -> int:
        """Continue from the state of another process; returns the number of its epochs."""
        history = History([dict(epoch) for epoch in state["history"]])
        before = self._weights()
        try:
            for weights in (state["best"], state["module"]):
                self.module_.load_state_dict(weights)
            self.optimizer_.load_state_dict(state["optimizer"])
        except Exception:
            self.module_.load_state_dict(before)
            raise
        self.history, self.best_ = history, state["best"]
        return len(history) - 1

    # --- what skorch calls

    def get_split_datasets(self, X: Any, y: Any = None, **_: Any) -> tuple[Any, Any]:
        """Return the rows, which are split already."""
        return X

    def infer(self, x: Any, **_: Any) -> Any:
        """Compute outputs; pixels are normalized on the device, activations are not."""
        import torch

        x, precision = x.to(self.device), self.settings.precision
        if x.dtype == torch.uint8:
            x = normalize(x, self.preprocess)
        reduced = precision != "float32"
        dtype = getattr(torch, precision) if reduced else torch.bfloat16
        with torch.autocast(torch.device(self.device).type, dtype, enabled=reduced):
            return self.module_(x).float()

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """Compute the weighted mean over the rows, each on the outputs of its task."""
        import torch

        y = {key: values.to(self.device) for key, values in y_true.items()}
        of_task = torch.from_numpy(self.objective.outputs).to(self.device)[y["task"]]
        loss = self.criterion_(y_pred.masked_fill(~of_task, self.objective.masked_output), y["target"])
        if loss.ndim == 2:
            loss = loss.sum(1) / of_task.sum(1)
        return (loss * y["weight"]).mean()

    def train_step(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Set the rates of this step, then take it."""
        factor = self.factor(self.step_)
        for group in self.optimizer_.param_groups:
            group["lr"] = group["base"] * factor
        self.step_ += 1
        return super().train_step(batch)

    def train_step_single(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Compute the gradients of a batch; a full GPU gets it in parts, which sum to the same."""
        import torch

        self._set_training(True)
        step = self._fit_in(batch, training=True)
        if not torch.isfinite(step["loss"]):
            raise self._diverged(f"The loss became {step['loss'].item()}")
        return step

    def validation_step(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Compute loss and outputs of a batch, in parts too."""
        self._set_training(False)
        return self._fit_in(batch, training=False)

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **step: Any) -> None:
        """Move the progress bar, or measure."""
        if training:
            self.bar.update(len(batch[0]))
        else:
            measured = self.objective.metric(step["y_pred"].cpu(), batch[1]["target"])
            self.history.record_batch(_METRIC, float(measured))

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        for node in self.frozen_nodes_:
            node.eval()

    # --- batches in parts

    def _fit_in(self, batch: Any, *, training: bool) -> dict[str, Any]:
        """Compute a batch in as few parts as the memory allows."""
        import torch

        n = len(batch[0])
        # Batch normalization needs two images.
        most = max(1, n // 2) if training and self.settings.train_batch_norm else n
        while True:
            n_parts = min(math.ceil(n / min(self.max_part or n, n)), most)
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

        if self.max_part is None:
            by_part = training and self.settings.train_batch_norm
            same = "batch norms follow each part then" if by_part else "otherwise the same"
            warn(
                f"{self.device} has no memory for {part} images at once: it gets them in parts, which is slower; "
                f"{same}. A smaller batch_size= avoids this.",
                FallbackWarning,
            )
        self.max_part = max(1, part // 2)
        if self.device != "cpu":
            torch.cuda.empty_cache()

    # --- errors and numbers

    def _too_large(self, n: int) -> TrainingError:
        least = "a single image" if n == 1 else f"{n} images, of which batch norms need two"
        return TrainingError(
            f"{self.device} has no memory to train on {least}. Tune fewer layers (a later unfreeze=), or give "
            "the ImageEncoder smaller images (preprocess=) or another device=."
        )

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} in epoch {len(self.history) - 1}, at a learning rate of {self.settings.learning_rate:g}. Lower "
            "learning_rate= (a tenth of it, say)."
        )

    def _check_validation_loss(self) -> None:
        loss = self.history[-1].get("valid_loss", 0.0)
        if not np.isfinite(loss):
            raise self._diverged(f"The validation loss became {loss}")

    def _best_epoch(self) -> int:
        """Return the epoch of the lowest validation loss; the last one where nothing validates."""
        losses = [epoch.get("valid_loss", np.nan) for epoch in self.history]
        return len(losses) - 1 if np.isnan(losses).all() else int(np.nanargmin(losses))

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy(self.module_.state_dict())

    def _show_epoch(self) -> None:
        last = self.history[-1]
        shown = {"train": "train_loss", "validation": "valid_loss", "metric": _METRIC}
        self.bar.set_postfix({name: f"{last[key]:.3f}" for name, key in shown.items() if key in last})


def train_network(
    tunable: TunableNetwork,
    objective: Objective,
    settings: TrainingSettings,
    train_rows: Rows,
    valid_rows: Rows | None,
    checkpoint: Checkpoint,
    *,
    preprocess: Preprocess,
    device: str | Sequence[str],
    name: str,
) -> pd.DataFrame:
    """Train a network on its device, in IEEE float32 by default, and leave the process's random state as it was.

    Parameters
    ----------
    tunable : TunableNetwork
        Its module has the best weights afterwards.
    objective : Objective
        What is minimized.
    settings : TrainingSettings
        How it is trained.
    train_rows, valid_rows : Rows
        What it is trained on, and what early stopping is measured on.
    checkpoint : Checkpoint
        An interrupted training continues from it.
    preprocess : Preprocess
        Its mean and std normalize pixels.
    device : str or sequence of str
        As for `ImageEncoder`; the first of several is used.
    name : str
        Stands beside the progress bar.

    Returns
    -------
    pandas.DataFrame
        The history, as for `FineTuneClassifier`.

    Raises
    ------
    DeviceError
        If the device is missing, or does not compute in this precision.
    TrainingError
        If the loss, or an output of the trained network, becomes NaN or infinite.
    """
    import torch

    devices = choose("torch", device).devices[:1]
    check_devices(devices)
    check_precision(settings.precision, devices[0])
    generators = [] if devices[0] == "cpu" else list(devices)
    bar = progress_bar(settings.max_epochs * len(train_rows), description=name, verbose=settings.verbose)
    with (
        torch.random.fork_rng(generators),
        torch.backends.cudnn.flags(benchmark=False, deterministic=True),
        float32_mode("ieee", devices[0]),
        _quickened(tunable.module, tunable.shape or (3, preprocess.size, preprocess.size)),
        bar,
    ):
        net = TuningNet(
            tunable.module,
            tunable.depths,
            objective,
            settings,
            preprocess=preprocess,
            n_rows=len(train_rows),
            device=devices[0],
            bar=bar,
        )
        train(net, train_rows, valid_rows, checkpoint)
    return history_table(net.history, objective.metric_name)


@contextmanager
def _quickened(module: Any, shape: tuple[int, ...]) -> Iterator[None]:
    """Have a module compute the same in less time: channels last where it can, frozen batch norms folded."""
    import torch

    example = torch.rand(1, *shape, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    layout = torch.channels_last

    def arrange(_module: Any, inputs: tuple[Any, ...]) -> Any:
        return inputs[0].contiguous(memory_format=layout) if inputs[0].ndim == 4 else inputs[0]

    hook = module.to(memory_format=layout).register_forward_pre_hook(arrange)
    try:
        try:
            with torch.inference_mode():
                module(example)
        except RuntimeError:  # such as x.view(n, -1)
            layout = torch.contiguous_format
            module.to(memory_format=layout)
        with folded_while_training(module, example):
            yield
    finally:
        hook.remove()
        module.to(memory_format=torch.contiguous_format)


def train(net: TuningNet, train_rows: Rows, valid_rows: Rows | None, checkpoint: Checkpoint) -> None:
    """Train a network, and leave it with its best weights.

    Those are the weights of the lowest validation loss, the first ones included; the last ones where nothing
    validates.

    Parameters
    ----------
    net : TuningNet
        Not initialized yet.
    train_rows, valid_rows : Rows
        What it is trained on, and what early stopping is measured on.
    checkpoint : Checkpoint
        An interrupted training continues from it.

    Raises
    ------
    TrainingError
        If the loss, or an output of the trained network, becomes NaN or infinite.
    """
    net.initialize()
    if not checkpoint.restore(net.resume, net.device):
        net.begin(valid_rows)
    net.show_start(len(train_rows))
    while net.goes_on():
        net.fit_epoch(train_rows, valid_rows)
        checkpoint.save(net.training_state())
    net.finish(train_rows)


def history_table(history: Sequence[dict[str, Any]], metric_name: str) -> pd.DataFrame:
    """Make a table of a training, with a row for each epoch; epoch 0 is before it."""
    import pandas as pd

    columns = {
        "train_loss": "train_loss",
        "validation_loss": "valid_loss",
        f"validation_{metric_name}": _METRIC,
        "learning_rate": "learning_rate",
        "seconds": "dur",
    }
    rows = [{name: epoch.get(key, np.nan) for name, key in columns.items()} for epoch in history]
    table = pd.DataFrame(rows, columns=list(columns), dtype=float)
    table.insert(0, "epoch", range(len(table)))
    return table


def schedule(warmup_fraction: float, n_steps: int) -> Callable[[int], float]:
    """Make the learning rate's factor at each step: a linear rise, then a cosine to zero (arXiv:1608.03983).

    Parameters
    ----------
    warmup_fraction : float
        Share of the steps in which the factor rises.
    n_steps : int
        The steps of all epochs.

    Returns
    -------
    callable
        Step, from 0 -> factor above 0 and up to 1.

    Examples
    --------
    >>> from featx.finetune._training import schedule
    >>> [round(schedule(0.5, 8)(step), 2) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rising = round(warmup_fraction * n_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return (1 + math.cos(math.pi * (step - rising) / max(1, n_steps - rising))) / 2

    return factor


def _groups(module: Any, depths: dict[str, int], settings: TrainingSettings) -> Iterator[tuple[str, dict[str, float]]]:
    """Make each parameter a group: its rate by its depth; decay is for weights, not for norms and biases."""
    for name, parameter in module.named_parameters():
        rate = settings.learning_rate * settings.layer_decay ** depths.get(name, 0)
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        yield name, {"lr": rate, "base": rate, "weight_decay": decay}


def _seed(seed: int, device: str) -> None:
    """Seed the generators that `train_network` restores; torch.manual_seed would seed each GPU's."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device != "cpu":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def _same(batch: Any) -> Any:
    return batch
