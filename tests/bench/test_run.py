from __future__ import annotations

import pytest

from featx.bench import _run, run_bench
from featx.exceptions import InputError, ParameterError, UnknownNameError
from tests.bench.candidates import ABSENT, BROKEN, GOOD


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.setattr(_run, "PEERS", (GOOD, BROKEN, ABSENT))


@pytest.mark.usefixtures("peers")
def test_featx_and_its_peers_are_measured_in_every_run(files):
    result = run_bench(files, runs=2, verbose=0)
    assert (result.encoder, result.weights, result.n_images) == ("efficientnet_lite0", "default", 12)
    assert {part: len(rates) for part, rates in result.rates.items()} == dict.fromkeys(_run.PARTS, 2)
    assert result.difference < 1e-4
    good, broken, absent = result.peers
    assert (len(good.rates), good.network, good.reason) == (2, "lite", "")
    assert broken.reason == "failed: no weights"
    assert absent.reason == "not installed: pip install 'featx-absent[all]'"


@pytest.mark.usefixtures("peers")
def test_a_network_that_a_peer_lacks_is_told_and_weights_that_are_not_here_are_random(files):
    result = run_bench(files[:3], encoder="squeezenet1_1", runs=1, verbose=0)
    assert result.weights == "random"
    assert result.peers[0].reason == "has no squeezenet1_1"


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"runs": 0}, ParameterError, "Got runs=0. Expected a positive integer"),
        ({"n_images": 1.5}, ParameterError, r"Got n_images=1\.5"),
        ({"n_threads": 0}, ParameterError, "Got n_jobs=0"),
        ({"encoder": "resnet19"}, UnknownNameError, "Did you mean 'resnet"),
        ({"runtime": "abacus"}, UnknownNameError, "Unknown runtime 'abacus'"),
        ({"precision": "float3"}, UnknownNameError, "Unknown precision 'float3'"),
        ({"sources": ["nowhere"]}, InputError, "nowhere is not there"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(parameters, error, message, files):
    with pytest.raises(error, match=message):
        run_bench(**{"sources": files, "verbose": 0} | parameters)
