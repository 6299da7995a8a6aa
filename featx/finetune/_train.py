"""Epoch by epoch: train, validate, keep the best, save what a killed process needs to go on."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.extraction import progress_bar
from featx.finetune._checkpoint import Checkpoint
from featx.finetune._rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from featx.finetune._job import Job
    from featx.finetune._net import TuningNet

_SEEDS = 2**32


def train_seeded(job: Job, train_rows: Rows, valid_rows: Rows | None, checkpoint: Checkpoint) -> TuningNet:
    """Train a job's module: on its device, in IEEE float32, with no trace in the process's random state.

    Parameters
    ----------
    job : Job
    train_rows, valid_rows : Rows
    checkpoint : Checkpoint

    Returns
    -------
    TuningNet
        With the best weights.
    """
    import torch

    from featx._process import float32_mode
    from featx.finetune._net import make_net
    from featx.runtimes import check_devices, check_precision, choose

    p = job.parameters
    devices = choose("torch", p["device"]).devices[:1]
    check_devices(devices)
    check_precision(p["precision"], devices[0])
    own = [] if devices[0] == "cpu" else list(devices)
    bar = progress_bar(p["epochs"] * len(train_rows), description=job.spec.name, verbose=p["verbose"])
    with (
        torch.random.fork_rng(own),
        torch.backends.cudnn.flags(benchmark=False, deterministic=True),
        float32_mode("ieee", devices[0]),
        bar,
    ):
        net = make_net(job, len(train_rows), devices[0], bar)
        patience = p["patience"] or p["epochs"] + 1
        train(net, train_rows, valid_rows, p["epochs"], patience, job.seed, checkpoint)
    return net


def train(
    net: TuningNet, train: Rows, valid: Rows | None, epochs: int, patience: int, seed: int, checkpoint: Checkpoint
) -> None:
    """Train a network, and leave it with its best weights.

    Those are the weights of the lowest validation loss, the first ones' included; the last ones where nothing
    validates. An epoch's order and noise depend on the seed and the epoch alone.

    Parameters
    ----------
    net : TuningNet
    train, valid : Rows
    epochs : int
    patience : int
        Epochs without a lower validation loss after which it stops.
    seed : int
    checkpoint : Checkpoint
        What an interrupted run left is taken up.

    Raises
    ------
    TrainingError
        If the loss, or what the trained network gives, is no number.
    """
    net.initialize()
    best, bar = checkpoint.restore(net), net.settings.bar
    if not len(net.history):
        _begin(net, valid)
        best = _state(net)
    bar.n = bar.initial = (len(net.history) - 1) * len(train)
    steps = len(net.get_iterator(train, training=True))
    while len(net.history) <= epochs and len(net.history) - 1 - _best_epoch(net) < patience:
        epoch = len(net.history)
        _seed((seed + epoch) % _SEEDS, net.device)
        net.step_ = (epoch - 1) * steps
        net.fit_loop((train, valid), epochs=1)
        _check_loss(net)
        net.history.record("learning_rate", max(group["lr"] for group in net.optimizer_.param_groups))
        if _best_epoch(net) == epoch:
            best = _state(net)
        checkpoint.save(net, best)
        _tell(net)
    bar.update(bar.total - bar.n)  # it may have stopped early
    net.module_.load_state_dict(best)
    some = next(iter(net.get_iterator(replace(train, augment=None))))
    if not np.isfinite(net.validation_step(some)["loss"].item()):
        raise net.diverged("The trained network's outputs became infinite or NaN")


def curves(net: TuningNet, measure: str) -> pd.DataFrame:
    """The history of a training, a row an epoch; epoch 0 is before it."""
    import pandas as pd

    columns = {
        "train_loss": "train_loss",
        "validation_loss": "valid_loss",
        f"validation_{measure}": "valid_measure",
        "learning_rate": "learning_rate",
        "seconds": "dur",
    }
    rows = [{name: epoch.get(key, np.nan) for name, key in columns.items()} for epoch in net.history]
    table = pd.DataFrame(rows, columns=list(columns), dtype=float)
    table.insert(0, "epoch", range(len(table)))
    return table


def _begin(net: TuningNet, valid: Rows | None) -> None:
    """Epoch 0: what the network is worth before it is trained."""
    net.history.new_epoch()
    if valid is None:
        return
    net.run_single_epoch(net.get_iterator(valid), training=False, prefix="valid", step_fn=net.validation_step)
    batches = net.history[-1, "batches", :]
    sizes = [batch["valid_batch_size"] for batch in batches]
    for name in ("valid_loss", "valid_measure"):
        net.history.record(name, float(np.average([batch[name] for batch in batches], weights=sizes)))
    _check_loss(net)


def _check_loss(net: TuningNet) -> None:
    loss = net.history[-1].get("valid_loss", 0.0)
    if not np.isfinite(loss):
        raise net.diverged(f"The validation loss became {loss}")


def _seed(seed: int, device: str) -> None:
    """Seed the generators that `train_seeded` restores; torch.manual_seed would seed each GPU's."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device != "cpu":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def _best_epoch(net: TuningNet) -> int:
    """Of the lowest validation loss; the last one where there is none."""
    losses = [epoch.get("valid_loss", np.nan) for epoch in net.history]
    return len(losses) - 1 if np.isnan(losses).all() else int(np.nanargmin(losses))


def _state(net: TuningNet) -> dict[str, Any]:
    return copy.deepcopy(net.module_.state_dict())


def _tell(net: TuningNet) -> None:
    last = net.history[-1]
    told = {"train": "train_loss", "validation": "valid_loss", "measure": "valid_measure"}
    net.settings.bar.set_postfix({name: f"{last[key]:.3f}" for name, key in told.items() if key in last})
