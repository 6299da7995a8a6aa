"""Functions are known by what they do."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from featx.encoders import identify_callable
from featx.exceptions import ParameterError

STRENGTH = 1

# Sets, strings and tensors have another order, hash or address in another process.
SCRIPT = """
import functools, torch
from torchvision.transforms import v2
from featx.encoders import identify_callable

class Noise(torch.nn.Module):
    def __init__(self, much):
        super().__init__()
        self.much, self.filter = much, torch.ones(3)
    def forward(self, image):
        return image if self.much in {"little", "much", "none"} else image * self.filter

def add(image, much):
    return image + much

print([identify_callable(f, "augment") for f in (
    Noise("little"), lambda image: image, functools.partial(add, much=3), v2.Compose([v2.RandomCrop(4), Noise("much")])
)])
"""


def add(image, much=1):
    return image + much


class Noise:
    """An object that can be called."""

    def __init__(self, much):
        self.much = much

    def __call__(self, image):
        return image + self.much


def made(much):
    return lambda image: image + much


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda image: image, lambda image: 255 - image),
        (lambda image, much=1: image + much, lambda image, much=2: image + much),
        (made(1), made(2)),
        (Noise(1), Noise(2)),
        (Noise(1).__call__, Noise(2).__call__),
        (torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1)),
    ],
    ids=["code", "defaults", "enclosed", "object", "method", "tensors"],
)
def test_functions_that_do_other_things_have_other_names(one, other):
    assert identify_callable(one, "augment") != identify_callable(other, "augment")


@pytest.mark.parametrize(("one", "other"), [(made(1), made(1)), (Noise(1), Noise(1))])
def test_what_does_the_same_has_the_same_name(one, other):
    assert identify_callable(one, "augment") == identify_callable(other, "augment")


def test_a_global_that_a_function_names_is_a_part_of_it(monkeypatch):
    def stronger(image):
        return add(image, STRENGTH)

    before = identify_callable(stronger, "augment")
    monkeypatch.setitem(globals(), "STRENGTH", 2)
    assert identify_callable(stronger, "augment") != before


def test_another_code_in_a_class_is_another_name():
    kinds = [type("Kind", (), {"__call__": call}) for call in (lambda self, x: x, lambda self, x: 255 - x)]
    assert identify_callable(kinds[0](), "augment") != identify_callable(kinds[1](), "augment")


def test_another_process_finds_the_same_name(root):
    given = {"capture_output": True, "check": True, "cwd": root}
    found = {subprocess.run([sys.executable, "-c", SCRIPT], **given).stdout for _ in range(2)}
    assert len(found) == 1


def test_what_cannot_be_pickled_is_refused():
    lock = threading.Lock()
    with pytest.raises(ParameterError, match=r"augment=.*lock"):
        identify_callable(lambda image: image if lock else None, "augment")
