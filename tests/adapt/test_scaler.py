from __future__ import annotations

import numpy as np
from sklearn.preprocessing import StandardScaler

from featx.adapt._scaler import DomainScaler

Zs, Zt = np.random.default_rng(0).normal(size=(2, 20, 3)) * [[[1]], [[5]]] + [[[0]], [[9]]]
X, DOMAIN = np.vstack([Zs, Zt]), np.repeat([1, -1], 20)


def test_each_domain_is_standardised_by_itself():
    scaled = DomainScaler().fit_transform(X, sample_domain=DOMAIN)
    np.testing.assert_allclose(scaled[:20], StandardScaler().fit_transform(Zs))
    np.testing.assert_allclose(scaled[20:], StandardScaler().fit_transform(Zt))


def test_rows_of_any_order_and_any_label_go_to_their_domain():
    scaler, order = DomainScaler().fit(X, sample_domain=DOMAIN), np.random.default_rng(1).permutation(40)
    mixed = scaler.transform(X[order], sample_domain=3 * DOMAIN[order])
    np.testing.assert_array_equal(mixed, scaler.transform(X, sample_domain=DOMAIN)[order])


def test_rows_without_a_domain_are_of_the_target():
    scaler = DomainScaler().fit(X, sample_domain=DOMAIN)
    np.testing.assert_array_equal(scaler.transform(Zt), scaler.transform(Zt, sample_domain=np.full(20, -1)))
