"""What an int8 encoder is to a spec; how one is made is tested with `quantize_encoder`."""

from __future__ import annotations

from pathlib import Path

import pytest

import featx
from featx.encoders import QuantizedEncoder, resolve
from featx.exceptions import ParameterError


@pytest.fixture
def int8(tiny):
    return QuantizedEncoder(Path("tiny.graph"), "ab" * 32, resolve(tiny)[0], 8)


def test_its_identity_is_its_digest_and_not_where_it_lies(int8, tiny):
    (spec,) = resolve(int8)
    moved = QuantizedEncoder(Path("elsewhere.graph"), "ab" * 32, resolve(tiny)[0], 8)
    other = QuantizedEncoder(Path("tiny.graph"), "cd" * 32, resolve(tiny)[0], 8)
    assert spec.graph == Path("tiny.graph")
    assert spec.fingerprint() == resolve(moved)[0].fingerprint()
    assert len({spec.fingerprint(), resolve(other)[0].fingerprint(), resolve(tiny)[0].fingerprint()}) == 3


def test_mean_and_std_are_in_the_graph(int8):
    with pytest.raises(ParameterError, match="they are part of its graph"):
        resolve(int8, preprocess=featx.Preprocess(size=32, mean=(0.1, 0.1, 0.1)))


def test_its_name_says_what_it_is(int8):
    assert repr(int8) == "Encoder('tiny0-int8', dim=8)"
