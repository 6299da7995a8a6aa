"""What a graph in a file is to a spec; how one is made is tested with `quantize_encoder` and `featx.save`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import featx
from featx.encoders import GraphEncoder, resolve
from featx.exceptions import ParameterError


@pytest.fixture
def int8(tiny):
    return graph_of(resolve(tiny)[0], "tiny.graph", "ab" * 32)


def graph_of(spec, file: str, digest: str) -> GraphEncoder:
    return GraphEncoder(Path(file), digest, replace(spec, name=f"{spec.name}-int8", weights=f"int8:{digest}"), 8)


def test_its_identity_is_its_digest_and_not_where_it_lies(int8, tiny):
    (spec,) = resolve(int8)
    moved = int8.with_file(Path("elsewhere.graph"))
    other = graph_of(resolve(tiny)[0], "tiny.graph", "cd" * 32)
    assert spec.graph == Path("tiny.graph")
    assert spec.fingerprint() == resolve(moved)[0].fingerprint()
    assert len({spec.fingerprint(), resolve(other)[0].fingerprint(), resolve(tiny)[0].fingerprint()}) == 3


def test_mean_and_std_are_in_the_graph(int8):
    with pytest.raises(ParameterError, match="they are part of its graph"):
        resolve(int8, preprocess=featx.Preprocess(size=32, mean=(0.1, 0.1, 0.1)))


def test_its_name_says_what_it_is(int8):
    assert repr(int8) == "Encoder('tiny0-int8', dim=8)"


def test_a_graph_of_the_same_numbers_has_the_same_fingerprint(tiny):
    (spec,) = resolve(tiny)
    graph = GraphEncoder(Path("tiny.graph"), "ab" * 32, spec, 8)
    assert resolve(graph)[0].fingerprint() == spec.fingerprint()
    assert resolve(graph)[0].graph_digest == "ab" * 32
