"""A batch in parts is a batch, rows weigh what they should, and the best epoch's weights are kept."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from featx.exceptions import FallbackWarning, TrainingError
from featx.extraction import progress_bar
from featx.finetune import FineTuneClassifier, small_encoder
from featx.finetune._checkpoint import Checkpoint, open_checkpoint
from featx.finetune._data import Rows
from featx.finetune._settings import TrainingSettings
from featx.finetune._training import Objective, TuningNet, history_table, schedule, train
from featx.images import Preprocess

PREPROCESS = Preprocess(size=8, mean=(0.5,) * 3, std=(0.25,) * 3)


def make_settings(**changes) -> TrainingSettings:
    given = {
        "unfreeze": "all",
        "head_init": "random",
        "max_epochs": 1,
        "batch_size": 8,
        "learning_rate": 0.1,
        "layer_decay": 0.5,
        "weight_decay": 0.1,
        "warmup_fraction": 0.1,
        "augment": None,
        "train_batch_norm": False,
        "validation_fraction": 0.0,
        "n_iter_no_change": None,
        "precision": "float32",
        "seed": 3,
        "verbose": 0,
    }
    return TrainingSettings(**{**given, **changes})


def make_net(
    module,
    *,
    loss=torch.nn.CrossEntropyLoss,
    masked_output=-math.inf,
    outputs=((True,) * 3,),
    metric=lambda outputs, targets: 0.0,
    depths=None,
    n_rows=8,
    bar=None,
    **changes,
) -> TuningNet:
    return TuningNet(
        module,
        depths or {},
        Objective(loss, np.array(outputs), masked_output, metric, "accuracy"),
        make_settings(**changes),
        preprocess=PREPROCESS,
        n_rows=n_rows,
        device="cpu",
        bar=progress_bar(1, hits=0, description="", verbose=0) if bar is None else bar,
    )


def net(module, **changes) -> TuningNet:
    return make_net(module, **changes).initialize()


def batch(n: int, width: int = 4, tasks: int = 1):
    generator = torch.Generator().manual_seed(0)
    task = torch.arange(n) % tasks
    y = {"target": torch.arange(n) % 3, "weight": torch.arange(n) + 1.0, "task": task}
    return torch.randn(n, width, generator=generator), y


class Narrow(torch.nn.Linear):
    """A layer on a device whose memory ends at so many rows."""

    room = 1000

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().forward(x)


def linear(cls=torch.nn.Linear):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls(4, 3)


# Batches in parts


@pytest.mark.parametrize("room", [1, 3, 5])
def test_a_batch_that_finds_no_room_is_halved_and_gives_the_same_gradients(room):
    plain, narrow = net(linear()), net(linear(Narrow))
    expected = plain.train_step_single(batch(10))["loss"]
    narrow.module_.room = room
    with pytest.warns(FallbackWarning, match="batch_size"):
        assert narrow.train_step_single(batch(10))["loss"] == pytest.approx(expected.item())
    torch.testing.assert_close(narrow.module_.weight.grad, plain.module_.weight.grad)
    assert narrow.max_part <= room


def test_one_image_that_finds_no_room_is_an_error():
    narrow = net(linear(Narrow))
    narrow.module_.room = 0
    with (
        pytest.raises(TrainingError, match=r"a single image.*unfreeze=.*preprocess=.*device="),
        pytest.warns(FallbackWarning),
    ):
        narrow.train_step_single(batch(4))


def test_validation_finds_room_in_parts():
    plain, narrow = net(linear()), net(linear(Narrow))
    narrow.module_.room = 3
    with pytest.warns(FallbackWarning, match="batch_size"):
        found = narrow.validation_step(batch(10))
    expected = plain.validation_step(batch(10))
    torch.testing.assert_close(found["loss"], expected["loss"])
    torch.testing.assert_close(found["y_pred"], expected["y_pred"])
    assert not found["y_pred"].requires_grad


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_norms_that_follow_the_batches_never_get_a_part_of_one_image(n):
    seen, norm = [], torch.nn.BatchNorm1d(4)
    norm.register_forward_pre_hook(lambda _norm, given: seen.append(len(given[0])))
    narrow = net(torch.nn.Sequential(norm, linear(Narrow)), train_batch_norm=True)
    narrow.module_[1].room = 3
    if n > 3:
        with pytest.warns(FallbackWarning, match="norms follow each part"):
            narrow.train_step_single(batch(n))
    else:
        narrow.train_step_single(batch(n))
    assert min(seen) > 1
    narrow.module_[1].room = 1
    with pytest.raises(TrainingError, match="norms need two"):
        narrow.train_step_single(batch(2))


# Losses


def test_a_loss_that_is_nan_stops_before_it_does_harm():
    broken = net(linear())
    before = broken.module_.weight.detach().clone()
    for _ in range(2):  # epoch 0 is before the training
        broken.history.new_epoch()
    x, y = batch(4)
    with pytest.raises(TrainingError, match=r"nan in epoch 1.*learning_rate"):
        broken.train_step((x * math.nan, y))
    assert torch.equal(broken.module_.weight, before)


def test_the_loss_is_the_weighted_mean():
    trained, (x, y) = net(linear()), batch(5)
    each = torch.nn.functional.cross_entropy(trained.module_(x), y["target"], reduction="none")
    assert trained.get_loss(trained.module_(x), y).item() == pytest.approx((each * y["weight"]).mean().item())


def test_a_row_knows_only_the_outputs_of_its_task():
    trained = net(linear(), outputs=[[True, True, False], [False, False, True]])
    outputs = torch.tensor([[1.0, 2.0, 90.0], [90.0, 90.0, 3.0]])
    y = {"target": torch.tensor([1, 2]), "weight": torch.ones(2), "task": torch.tensor([0, 1])}
    assert trained.get_loss(outputs, y).item() == pytest.approx(math.log(1 + math.exp(-1)) / 2, abs=1e-6)


def test_squared_errors_count_the_columns_of_the_task():
    columns = [[True, True, False], [False, False, True]]
    trained = net(linear(), loss=torch.nn.MSELoss, masked_output=0.0, outputs=columns)
    y = {"target": torch.zeros(2, 3), "weight": torch.ones(2), "task": torch.tensor([0, 1])}
    outputs = torch.tensor([[1.0, 3.0, 9.0], [9.0, 9.0, 2.0]])
    assert trained.get_loss(outputs, y).item() == pytest.approx(((1 + 9) / 2 + 4) / 2)


def test_pixels_are_normalized_and_activations_are_not():
    trained = net(torch.nn.PReLU())  # what is positive stays
    pixels = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert trained.infer(pixels).unique().tolist() == [2.0]
    assert trained.infer(torch.ones(1, 4)).unique().tolist() == [1.0]


def test_mixed_precision_computes_in_less_and_answers_in_float32():
    trained = net(linear(), precision="bfloat16")
    x = batch(6)[0]
    given, exact = trained.infer(x), net(linear()).infer(x)
    assert given.dtype == torch.float32
    assert 0 < (given - exact).abs().max() < 0.1


# Rates


@settings(deadline=None)
@given(st.floats(0, 0.9), st.integers(1, 500))
def test_rates_rise_once_and_fall_once_and_are_never_zero(warmup, n):
    factors = [schedule(warmup, n)(step) for step in range(n)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert 0 < min(factors) <= max(factors) <= 1


def test_the_peak_comes_where_the_warmup_ends():
    factor = schedule(0.1, 100)
    assert factor(9) == factor(10) == 1
    assert factor(8) == pytest.approx(0.9)
    assert factor(99) < 0.001


def test_rates_fall_with_depth_and_norms_do_not_decay():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 3))
    trained = net(module, depths={"0.weight": 2, "1.weight": 1, "2.weight": 0})
    groups = dict(zip([name for name, _ in module.named_parameters()], trained.optimizer_.param_groups, strict=True))
    assert [groups[name]["lr"] for name in ("0.weight", "1.weight", "2.weight")] == [0.025, 0.05, 0.1]
    assert [groups[name]["weight_decay"] for name in ("0.weight", "1.weight", "2.bias")] == [0.1, 0, 0]


def test_each_step_has_the_rate_of_its_depth_and_of_the_schedule():
    trained = net(
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)),
        depths={"0.weight": 2, "0.bias": 1},
        n_rows=24,
        warmup_fraction=1 / 3,
    )
    factor = schedule(1 / 3, 3)
    for step in range(3):
        trained.train_step(batch(4))
        rates = [group["lr"] for group in trained.optimizer_.param_groups]
        assert rates == pytest.approx([rate * factor(step) for rate in (0.025, 0.05, 0.1, 0.1)])


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_norms_follow_the_batches_only_where_they_are_tuned(train_batch_norm):
    frozen, tuned = torch.nn.BatchNorm2d(3).requires_grad_(False), torch.nn.BatchNorm2d(3)
    parts = torch.nn.Sequential(frozen, tuned, torch.nn.Dropout(0.5))
    trained = net(parts, train_batch_norm=train_batch_norm)
    trained._set_training(True)
    assert [part.training for part in parts] == [False, train_batch_norm, True]
    trained._set_training(False)
    assert not any(part.training for part in parts)


@pytest.mark.parametrize(("n", "steps"), [(32, 1), (33, 1), (34, 2)])
def test_the_schedule_counts_the_steps_that_are_taken(digits, n, steps):
    X, y = digits
    model = FineTuneClassifier(
        small_encoder(16, 4), unfreeze="all", train_batch_norm=True, max_epochs=4, learning_rate=1e-3, verbose=0
    ).fit(X[:n], y[:n])
    factor = schedule(0.1, 4 * steps)
    expected = [1e-3 * factor(epoch * steps - 1) for epoch in range(1, 5)]
    np.testing.assert_allclose(model.history_["learning_rate"][1:], expected, rtol=1e-9)


# Epochs


def rows(first: int, n: int, noise: bool = False) -> Rows:
    """Vectors, the sign of whose first number is the class; or has nothing to do with it."""
    random = np.random.default_rng(first)
    inputs = random.normal(size=(n, 4)).astype(np.float32)
    targets = random.integers(0, 2, n) if noise else (inputs[:, 0] > 0).astype(np.int64)
    zeros = np.zeros(n, np.int64)
    return Rows([inputs], [targets], zeros, np.arange(n), np.ones(n, np.float32))


def deep_net(max_epochs: int, rate: float = 0.05, **changes) -> TuningNet:
    """A net to be trained on 64 rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
        )
    return make_net(
        module,
        outputs=[[True, True]],
        metric=lambda outputs, targets: (outputs.argmax(1) == targets).float().mean().item(),
        n_rows=64,
        **{"max_epochs": max_epochs, "learning_rate": rate, "layer_decay": 1.0, "weight_decay": 0.0, **changes},
    )


def run(folder=None, max_epochs=6, valid=None, key="key", train_rows=None, **changes) -> TuningNet:
    trained = deep_net(max_epochs, **changes)
    checkpoint = Checkpoint() if folder is None else open_checkpoint(folder, key)
    with torch.random.fork_rng(devices=[]):
        train(trained, train_rows or rows(0, 64), valid, checkpoint)
    return trained


def curves(trained: TuningNet):
    return history_table(trained.history, "accuracy")


def weights(trained: TuningNet) -> list[float]:
    return torch.cat([values.flatten() for values in trained.module_.state_dict().values()]).tolist()


def test_a_seed_decides():
    assert weights(run()) == weights(run())
    assert weights(run()) != weights(run(seed=4))


def test_the_weights_of_the_lowest_validation_loss_are_kept():
    valid = rows(1, 40, noise=True)
    trained = run(max_epochs=8, valid=valid)
    losses = curves(trained)["validation_loss"]
    assert losses.idxmin() < 8
    whole = valid.__getitems__(list(range(40)))
    assert trained.validation_step(whole)["loss"].item() == pytest.approx(losses.min(), abs=1e-6)


def test_training_stops_when_validation_no_longer_gains():
    trained = run(max_epochs=50, n_iter_no_change=2, valid=rows(1, 40, noise=True))
    losses = curves(trained)["validation_loss"]
    assert len(losses) < 51
    assert losses.idxmin() == len(losses) - 3


def test_without_validation_the_last_weights_are_kept():
    table = curves(run(max_epochs=5))
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["validation_loss"].isna().all()
    assert table["train_loss"].iloc[5] < table["train_loss"].iloc[1]


def test_epoch_0_is_how_good_the_first_weights_are():
    table = curves(run(max_epochs=1, valid=rows(1, 40), rate=1e-9))
    assert table["validation_loss"][0] == pytest.approx(table["validation_loss"][1], abs=1e-4)
    assert np.isnan(table["train_loss"][0])


def test_rates_follow_one_schedule_through_all_epochs():
    factor = schedule(0.1, 6 * 8)
    found = curves(run(max_epochs=6))["learning_rate"]
    np.testing.assert_allclose(found[1:], [0.05 * factor(8 * epoch - 1) for epoch in range(1, 7)])


def test_a_validation_loss_that_is_nan_is_reported():
    valid = rows(1, 10)
    valid.inputs[0][3] = np.nan
    with pytest.raises(TrainingError, match=r"validation loss became nan in epoch 0.*learning_rate"):
        run(valid=valid)


def test_weights_that_the_last_step_made_useless_are_reported():
    with pytest.raises(TrainingError, match=r"outputs became.*learning_rate"):
        run(max_epochs=1, rate=1e30, batch_size=64)


def test_no_other_generator_than_the_devices_is_seeded(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    run(max_epochs=1)
    assert len(seeded) == 1  # by deep_net(), above


# Interruptions


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
    valid = rows(1, 20)
    Dying.left = batches
    with pytest.raises(Killed):
        run(tmp_path, valid=valid, train_rows=Dying(**vars(rows(0, 64))))
    resumed, never_killed = run(tmp_path, valid=valid), run(valid=valid)
    assert weights(resumed) == weights(never_killed)
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert curves(resumed)[name].equals(curves(never_killed)[name])


def test_a_finished_training_is_not_repeated(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert weights(again) == weights(first)
    assert again.step_ == 0


def test_the_bar_begins_where_training_goes_on_and_ends_full(tmp_path):
    begun = []

    class Bar(tqdm):
        def set_postfix(self, *given, **kept):
            begun.append((self.initial, self.n))

    def barred(max_epochs):
        with Bar(total=64 * max_epochs, file=io.StringIO()) as bar:
            run(tmp_path, max_epochs=max_epochs, valid=rows(1, 40, noise=True), bar=bar)
            return bar.n

    assert barred(2) == 128
    assert barred(2) == 128
    assert barred(6) == 64 * 6
    assert begun[:3] == [(0, 64), (0, 128), (128, 192)]


def test_a_damaged_checkpoint_is_reported_and_training_starts_anew(tmp_path):
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(FallbackWarning, match="damaged"):
        assert weights(run(tmp_path)) == weights(run())


def test_a_checkpoint_of_another_structure_is_reported_and_training_starts_anew(tmp_path):
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    state = torch.load(file)
    for values in state["module"].values():
        values.fill_(7.0)
    state["module"]["3.bias"] = torch.zeros(9)
    torch.save(state, file)
    with pytest.warns(FallbackWarning, match="damaged"):
        assert weights(run(tmp_path)) == weights(run())


def test_a_full_disk_is_reported_once_and_training_goes_on(tmp_path, full_disk):
    with full_disk(2000), pytest.warns(FallbackWarning, match="was not written") as warned:
        trained = run(tmp_path)
    assert weights(trained) == weights(run())
    assert len(warned) == 1
    assert list(tmp_path.iterdir()) == []


def test_trainings_share_a_folder_and_have_a_file_each(tmp_path):
    folder = tmp_path / "new" / "folder"
    alone = {seed: weights(run(seed=seed)) for seed in (3, 4)}
    for _ in range(2):
        for seed in alone:
            assert weights(run(folder, key=f"key{seed}", seed=seed)) == alone[seed]
    assert sorted(path.name for path in folder.iterdir()) == ["key3.pt", "key4.pt"]
