"""Epochs are the same whether or not the process was killed between them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tqdm import tqdm

from featx.exceptions import TrainingError
from featx.extraction._progress import progress_bar
from featx.finetune._checkpoint import Checkpoint
from featx.finetune._net import Settings, TuningNet
from featx.finetune._rows import Rows
from featx.finetune._schedule import schedule
from featx.finetune._train import curves, train


def rows(first: int, n: int, noise: bool = False) -> Rows:
    """Vectors, the sign of whose first number is the class; or has nothing to do with it."""
    random = np.random.default_rng(first)
    inputs = random.normal(size=(n, 4)).astype(np.float32)
    targets = random.integers(0, 2, n) if noise else (inputs[:, 0] > 0).astype(np.int64)
    zeros = np.zeros(n, np.int64)
    return Rows([inputs], [targets], zeros, np.arange(n), np.ones(n, np.float32))


def net(epochs: int, rate: float = 0.05, batch_size: int = 8) -> TuningNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
        )
    settings = Settings(
        depths={},
        learning_rate=rate,
        layer_decay=1.0,
        weight_decay=0.0,
        factor=schedule(0.1, epochs * 8),
        columns=np.ones((1, 2), bool),
        fill=-np.inf,
        measure=lambda outputs, targets: (outputs.argmax(1) == targets).float().mean().item(),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        train_norms=False,
        autocast=None,
        bar=progress_bar(1, hits=0, description="", verbose=0),
    )
    return TuningNet(module, torch.nn.CrossEntropyLoss, settings, batch_size=batch_size, drop_last=False, device="cpu")


def run(folder, epochs=6, patience=99, valid=None, seed=3, key="key", **changes) -> TuningNet:
    trained = net(epochs, **changes)
    with torch.random.fork_rng(devices=[]):
        train(trained, rows(0, 64), valid, epochs, patience, seed, Checkpoint(folder, key))
    return trained


def weights(trained: TuningNet) -> list[float]:
    return torch.cat([values.flatten() for values in trained.module_.state_dict().values()]).tolist()


class Killed(BaseException):
    """What ends a process."""


class Dying(Rows):
    """Rows of a process that is killed when it asks for so many batches."""

    left = 0

    def __getitems__(self, some):
        if Dying.left == 0:
            raise Killed
        Dying.left -= 1
        return super().__getitems__(some)


@pytest.mark.parametrize("batches", [3, 8, 21, 40])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, batches):
    valid, whole = rows(1, 20), rows(0, 64)
    Dying.left = batches
    with pytest.raises(Killed), torch.random.fork_rng(devices=[]):
        train(net(6), Dying(**vars(whole)), valid, 6, 99, 3, Checkpoint(tmp_path, "key"))
    resumed, never_killed = run(tmp_path, valid=valid), run(None, valid=valid)
    assert weights(resumed) == weights(never_killed)
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert curves(resumed, "accuracy")[name].equals(curves(never_killed, "accuracy")[name])


def test_a_finished_training_is_not_repeated(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert weights(again) == weights(first)
    assert again.step_ == 0


def test_a_seed_decides():
    assert weights(run(None)) == weights(run(None))
    assert weights(run(None)) != weights(run(None, seed=4))


def test_the_weights_of_the_lowest_validation_loss_are_kept():
    valid = rows(1, 40, noise=True)
    trained = run(None, epochs=8, valid=valid)
    losses = curves(trained, "accuracy")["validation_loss"]
    assert losses.idxmin() < 8
    batch = valid.__getitems__(list(range(40)))
    assert trained.validation_step(batch)["loss"].item() == pytest.approx(losses.min(), abs=1e-6)


def test_training_stops_when_validation_no_longer_gains():
    trained = run(None, epochs=50, patience=2, valid=rows(1, 40, noise=True))
    losses = curves(trained, "accuracy")["validation_loss"]
    assert len(losses) < 51
    assert losses.idxmin() == len(losses) - 3


def test_without_validation_the_last_weights_are_kept():
    table = curves(run(None, epochs=5), "accuracy")
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["validation_loss"].isna().all()
    assert table["train_loss"].iloc[5] < table["train_loss"].iloc[1]


def test_epoch_0_is_what_the_first_weights_are_worth():
    table = curves(run(None, epochs=1, valid=rows(1, 40), rate=1e-9), "accuracy")
    assert table["validation_loss"][0] == pytest.approx(table["validation_loss"][1], abs=1e-4)
    assert np.isnan(table["train_loss"][0])


def test_rates_follow_one_schedule_through_all_epochs():
    factor = schedule(0.1, 6 * 8)
    found = curves(run(None, epochs=6), "accuracy")["learning_rate"]
    np.testing.assert_allclose(found[1:], [0.05 * factor(8 * epoch - 1) for epoch in range(1, 7)])


def test_a_validation_loss_that_is_no_number_is_said():
    valid = rows(1, 10)
    valid.inputs[0][3] = np.nan
    with pytest.raises(TrainingError, match=r"validation loss became nan in epoch 0.*learning_rate"):
        run(None, valid=valid)


def test_weights_that_the_last_step_made_useless_are_said():
    with pytest.raises(TrainingError, match=r"outputs became.*learning_rate"):
        run(None, epochs=1, rate=1e30, batch_size=64)


def test_no_other_generator_than_the_devices_own_is_seeded(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    trained = net(1)
    with torch.random.fork_rng(devices=[]):
        train(trained, rows(0, 64), None, 1, 99, 3, Checkpoint(None, ""))
    assert len(seeded) == 1  # by net(), above


def test_the_bar_begins_where_training_goes_on_and_ends_full(tmp_path):
    begun = []

    class Bar(tqdm):
        def set_postfix(self, *given, **kept):
            begun.append((self.initial, self.n))

    def barred(epochs):
        trained = net(epochs)
        with torch.random.fork_rng(devices=[]), Bar(total=64 * epochs, file=io.StringIO()) as bar:
            trained.settings = replace(trained.settings, bar=bar)
            train(trained, rows(0, 64), rows(1, 40, noise=True), epochs, 99, 3, Checkpoint(tmp_path, "key"))
            return bar.n

    assert barred(2) == 128
    assert barred(2) == 128
    assert barred(6) == 64 * 6
    assert begun[:3] == [(0, 64), (0, 128), (128, 192)]
