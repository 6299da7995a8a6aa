from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import torch

from featx.adapt._methods import LOSSES, DomainNetwork, domain_routing
from featx.exceptions import MissingDependencyError, UnknownNameError
from tests.adapt.gaussians import draw_domain

Zs, YS = draw_domain(240, 0)
Zt, YT = draw_domain(240, 1)
Zt = Zt * np.linspace(0.5, 2, 8) + 3 * np.eye(8)[7]
X, Y = np.vstack([Zs, Zt]), np.concatenate([YS + 5, np.full(240, -1)])
DOMAIN = np.repeat([1, -2], 240)


def fitted(loss, **parameters):
    with domain_routing():
        return DomainNetwork(loss, **parameters).fit(X, Y, sample_domain=DOMAIN)


def means(network):
    return network.features(Zs).mean(axis=0) - network.features(Zt).mean(axis=0)


def covariances(network):
    return np.cov(network.features(Zs).T) - np.cov(network.features(Zt).T)


@pytest.mark.parametrize(("loss", "weight", "gap"), [("dann", 1.0, means), ("deepcoral", 1000.0, covariances)])
def test_the_loss_makes_the_domains_alike_and_keeps_the_classes_apart(loss, weight, gap):
    without, adapted = fitted(loss, weight=0.0, epochs=20), fitted(loss, weight=weight, epochs=20)
    assert np.abs(gap(adapted)).mean() < 0.7 * np.abs(gap(without)).mean()
    assert (adapted.predict(Zs) == YS + 5).mean() > 0.9


@pytest.mark.parametrize("loss", LOSSES)
def test_the_seed_decides_and_nothing_else_is_drawn(loss):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two, other = fitted(loss, epochs=2), fitted(loss, epochs=2), fitted(loss, epochs=2, random_state=1)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one.predict_proba(Zt), two.predict_proba(Zt))
    assert not np.array_equal(one.predict_proba(Zt), other.predict_proba(Zt))


def test_a_copy_that_is_fitted_again_remembers_nothing():
    first = fitted("dann", epochs=2)
    again = copy.deepcopy(first)
    with domain_routing():
        again.fit(X, Y, sample_domain=DOMAIN)
    np.testing.assert_array_equal(first.predict_proba(Zt), again.predict_proba(Zt))


def test_labels_of_the_target_are_not_looked_at():
    with domain_routing():
        told = DomainNetwork(epochs=2).fit(X, np.concatenate([YS + 5, YT + 5]), sample_domain=DOMAIN)
    np.testing.assert_array_equal(told.predict_proba(Zt), fitted("dann", epochs=2).predict_proba(Zt))


def test_it_predicts_the_classes_it_was_given_also_from_a_pickle():
    network = fitted("deepcoral", epochs=2)
    assert network.classes_.tolist() == [5, 6, 7]
    probabilities = pickle.loads(pickle.dumps(network)).predict_proba(Zt)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(network.predict(Zt)) <= {5, 6, 7}


def test_fewer_rows_than_a_batch_are_enough():
    few = np.r_[0:9, 240:245]
    with domain_routing():
        network = DomainNetwork().fit(X[few], Y[few], sample_domain=DOMAIN[few])
    assert network.predict(Zt).shape == (240,)


def test_an_unknown_loss_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'deepcoral'"):
        DomainNetwork("deepcorel").fit(X, Y, sample_domain=DOMAIN)


def test_a_missing_skorch_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skorch", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[adapt\]"):
        fitted("dann")
