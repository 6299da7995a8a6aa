"""A batch in parts is a batch; rows weigh what they should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from featx.exceptions import FallbackWarning, TrainingError
from featx.extraction._progress import progress_bar
from featx.finetune import FineTuneClassifier, small_encoder
from featx.finetune._net import Settings, TuningNet
from featx.finetune._schedule import schedule


class Narrow(torch.nn.Linear):
    """A layer on a device whose memory ends at so many rows."""

    room = 1000

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().forward(x)


def net(module, *, loss=torch.nn.CrossEntropyLoss, fill=-math.inf, columns=((True,) * 3,), **changes) -> TuningNet:
    settings = Settings(
        factor=lambda step: 1.0,
        columns=np.array(columns),
        fill=fill,
        measure=lambda outputs, targets: 0.0,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        bar=progress_bar(1, hits=0, description="", verbose=0),
        **{
            "depths": {},
            "learning_rate": 0.1,
            "layer_decay": 0.5,
            "weight_decay": 0.1,
            "train_norms": False,
            "autocast": None,
            **changes,
        },
    )
    return TuningNet(module, loss, settings, batch_size=8, drop_last=False, device="cpu").initialize()


def batch(n: int, width: int = 4, tasks: int = 1):
    generator = torch.Generator().manual_seed(0)
    task = torch.arange(n) % tasks
    y = {"target": torch.arange(n) % 3, "weight": torch.arange(n) + 1.0, "task": task}
    return torch.randn(n, width, generator=generator), y


def linear(cls=torch.nn.Linear):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls(4, 3)


@pytest.mark.parametrize("room", [1, 3, 5])
def test_a_batch_that_finds_no_room_is_halved_and_gives_the_same_gradients(room):
    plain, narrow = net(linear()), net(linear(Narrow))
    expected = plain.train_step_single(batch(10))["loss"]
    narrow.module_.room = room
    with pytest.warns(FallbackWarning, match="batch_size"):
        assert narrow.train_step_single(batch(10))["loss"] == pytest.approx(expected.item())
    torch.testing.assert_close(narrow.module_.weight.grad, plain.module_.weight.grad)
    assert narrow.limit <= room


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
    narrow = net(torch.nn.Sequential(norm, linear(Narrow)), train_norms=True)
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


def test_a_loss_that_is_no_number_stops_before_it_does_harm():
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
    trained = net(linear(), columns=[[True, True, False], [False, False, True]])
    outputs = torch.tensor([[1.0, 2.0, 90.0], [90.0, 90.0, 3.0]])
    y = {"target": torch.tensor([1, 2]), "weight": torch.ones(2), "task": torch.tensor([0, 1])}
    assert trained.get_loss(outputs, y).item() == pytest.approx(math.log(1 + math.exp(-1)) / 2, abs=1e-6)


def test_squared_errors_count_the_columns_of_the_task():
    columns = [[True, True, False], [False, False, True]]
    trained = net(linear(), loss=torch.nn.MSELoss, fill=0.0, columns=columns)
    y = {"target": torch.zeros(2, 3), "weight": torch.ones(2), "task": torch.tensor([0, 1])}
    outputs = torch.tensor([[1.0, 3.0, 9.0], [9.0, 9.0, 2.0]])
    assert trained.get_loss(outputs, y).item() == pytest.approx(((1 + 9) / 2 + 4) / 2)


def test_rates_fall_with_depth_and_norms_do_not_decay():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 3))
    trained = net(module, depths={"0.weight": 2, "1.weight": 1, "2.weight": 0})
    groups = dict(zip([name for name, _ in module.named_parameters()], trained.optimizer_.param_groups, strict=True))
    assert [groups[name]["lr"] for name in ("0.weight", "1.weight", "2.weight")] == [0.025, 0.05, 0.1]
    assert [groups[name]["weight_decay"] for name in ("0.weight", "1.weight", "2.bias")] == [0.1, 0, 0]


def test_each_step_has_the_rate_of_its_depth_and_of_the_schedule():
    trained = net(
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)), depths={"0.weight": 2, "0.bias": 1}
    )
    trained.settings = replace(trained.settings, factor=lambda step: 1 / (step + 1))
    for step in range(3):
        trained.train_step(batch(4))
        rates = [group["lr"] for group in trained.optimizer_.param_groups]
        assert rates == pytest.approx([rate / (step + 1) for rate in (0.025, 0.05, 0.1, 0.1)])


@pytest.mark.parametrize("train_norms", [False, True])
def test_norms_follow_the_batches_only_where_they_are_tuned(train_norms):
    frozen, tuned = torch.nn.BatchNorm2d(3).requires_grad_(False), torch.nn.BatchNorm2d(3)
    parts = torch.nn.Sequential(frozen, tuned, torch.nn.Dropout(0.5))
    trained = net(parts, train_norms=train_norms)
    trained._set_training(True)
    assert [part.training for part in parts] == [False, train_norms, True]
    trained._set_training(False)
    assert not any(part.training for part in parts)


def test_pixels_are_normalised_and_activations_are_not():
    trained = net(torch.nn.PReLU())  # what is positive stays
    pixels = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert trained.infer(pixels).unique().tolist() == [2.0]
    assert trained.infer(torch.ones(1, 4)).unique().tolist() == [1.0]


def test_mixed_precision_computes_in_less_and_answers_in_float32():
    trained = net(linear(), autocast="bfloat16")
    x = batch(6)[0]
    given, exact = trained.infer(x), net(linear()).infer(x)
    assert given.dtype == torch.float32
    assert 0 < (given - exact).abs().max() < 0.1


@pytest.mark.parametrize(("n", "steps"), [(32, 1), (33, 1), (34, 2)])
def test_the_schedule_counts_the_steps_that_are_taken(digits, n, steps):
    X, y = digits
    model = FineTuneClassifier(
        small_encoder(16, 4), unfreeze="all", train_norms=True, validation=None, epochs=4, learning_rate=1e-3, verbose=0
    ).fit(X[:n], y[:n])
    factor = schedule(0.1, 4 * steps)
    expected = [1e-3 * factor(epoch * steps - 1) for epoch in range(1, 5)]
    np.testing.assert_allclose(model.history_["learning_rate"][1:], expected, rtol=1e-9)
