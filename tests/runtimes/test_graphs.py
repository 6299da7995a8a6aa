"""Converted graphs are kept: the second process needs neither torch nor a conversion."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import featx
from featx.encoders import resolve
from featx.exceptions import StoreWarning
from featx.runtimes import _convert, _graphs
from featx.runtimes._graphs import graph_file, load_graph
from featx.runtimes._openvino import OpenVinoRuntime
from tests.networks import TINY, make_tiny, tiny_encoder


@pytest.fixture
def own_graphs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fresh"))


@pytest.fixture
def conversions(monkeypatch, own_graphs):
    """How often a network was converted."""
    convert, calls = _convert.convert, []

    def counting(specs):
        calls.append(specs)
        return convert(specs)

    monkeypatch.setattr(_convert, "convert", counting)
    return calls


def rows(specs):
    return OpenVinoRuntime(specs, 2).run(np.full((2, 32, 32, 3), 90, np.uint8))


def test_a_network_is_converted_once(tiny, conversions):
    first = rows(resolve(tiny))
    np.testing.assert_array_equal(rows(resolve(tiny)), first)
    assert len(conversions) == 1


def test_layers_and_their_order_are_graphs_of_their_own(tiny, own_graphs):
    files = {graph_file(resolve(tiny, layers=layers)) for layers in ("conv1", "conv2", ["conv1", "conv2"])}
    files.add(graph_file(resolve(tiny, layers=["conv2", "conv1"])))
    assert len(files) == 4


def test_what_changes_the_numbers_changes_the_file(tiny, own_graphs):
    """Also which node is the feature, where two encoders wrap one module."""
    plain = featx.Preprocess(size=32, fit="squash")
    specs = [resolve(tiny), resolve(tiny_encoder(1)), resolve(tiny, preprocess=plain), resolve(tiny, layers="logits")]
    network = tiny.spec(tiny.preprocess)
    other = featx.Encoder.from_module(make_tiny(), preprocess=TINY)
    other.classifier, other.dim = None, 3
    assert other.spec(TINY).fingerprint() != network.fingerprint()
    specs.append([other.spec(TINY)])
    assert len({graph_file(chosen) for chosen in specs}) == 5


def test_one_graph_serves_every_precision(tiny, own_graphs):
    assert graph_file(resolve(tiny)) == graph_file(resolve(tiny, precision="bfloat16"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "short"])
def test_a_damaged_graph_is_made_again(tiny, conversions, damage):
    specs = resolve(tiny)
    expected, file = rows(specs), graph_file(specs)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-9], "flipped": content, "emptied": b"", "short": content[:20]}[damage]
    file.write_bytes(damaged)
    np.testing.assert_array_equal(rows(specs), expected)
    assert len(conversions) == 2
    rows(specs)
    assert len(conversions) == 2


def test_a_graph_of_another_version_is_made_again(tiny, conversions, monkeypatch):
    specs = resolve(tiny)
    rows(specs)
    for what in (_graphs.openvino, _graphs):
        monkeypatch.setattr(what, "__version__", "0.0.1")
        rows(specs)
    assert len(conversions) == 3


def test_a_folder_that_cannot_be_written_costs_the_keeping_not_the_result(tiny, tmp_path, monkeypatch):
    (tmp_path / "featx").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(StoreWarning, match="cannot be kept"):
        assert load_graph(resolve(tiny)).outputs


def test_nothing_is_left_beside_the_graph(tiny, own_graphs):
    file = graph_file(resolve(tiny))
    load_graph(resolve(tiny))
    assert list(file.parent.iterdir()) == [file]


def test_the_second_process_imports_no_torch(photos, tmp_path):
    code = (
        "import sys, numpy, featx\n"
        "photo = numpy.full((40, 40, 3), 90, numpy.uint8)\n"
        "row = featx.ImageEncoder(cache=False, device='cpu').transform([photo])\n"
        "print(row.shape, 'torch' in sys.modules)"
    )
    answers = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert answers[1] == "(1, 1280) False"
