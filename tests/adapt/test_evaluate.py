from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from featx.adapt._domains import Domains
from featx.adapt._evaluate import compare_methods, split_domains
from featx.adapt._routing import domain_routing
from featx.exceptions import InputError, ParameterError
from tests.adapt.gaussians import draw_domain

METHODS = ("source", "subspace")


def domains_of(n=60, m=60, seed=0, **changed):
    (Zs, ys), (Zt, yt) = draw_domain(n, seed), draw_domain(m, seed + 1, moved=True)
    return replace(Domains(Zs, ys, Zt, yt, np.arange(3), []), **changed)


def compared(domains, methods=METHODS, draws=3, seed=0, scorer="entropy"):
    return compare_methods(domains, methods, split_domains(domains, draws, seed), scorer, seed, int)


def test_each_row_of_the_target_is_tested_once_and_adapts_no_fit_that_tests_it():
    splits = split_domains(domains_of(), 5, 0)
    assert sorted(np.concatenate([split.target.test for split in splits])) == list(range(60))
    for split in splits:
        assert not set(split.target.train) & set(split.target.test)
        assert not set(split.source.train) & set(split.source.test)


def test_splits_know_nothing_of_the_targets_labels():
    one, other = domains_of(), domains_of(yt=None)
    for a, b in zip(split_domains(one, 3, 0), split_domains(other, 3, 0), strict=True):
        np.testing.assert_array_equal(a.target.test, b.target.test)
        np.testing.assert_array_equal(a.source.train, b.source.train)


def test_methods_are_tested_on_all_rows_and_the_oracle_comes_last():
    outcomes = compared(domains_of())
    assert list(outcomes) == ["source", "subspace", "oracle"]
    assert [sum(map(len, outcome.credits)) for outcome in outcomes.values()] == [60] * 3
    assert len(outcomes["subspace"].distances) == 3
    assert not hasattr(outcomes["subspace"].pipeline[-1], "base_estimator_")
    assert outcomes["oracle"].accuracy > outcomes["source"].accuracy


def test_the_distance_falls_where_covariances_are_aligned():
    outcomes = compared(domains_of(90, 90), ("source", "coral"))
    assert np.mean(outcomes["coral"].distances) < np.mean(outcomes["source"].distances) - 0.5


def test_without_labels_of_the_target_the_same_is_chosen_and_nothing_credited():
    told, blind = compared(domains_of()), compared(domains_of(yt=None))
    assert list(blind) == ["source", "subspace"]
    for name, outcome in blind.items():
        assert (outcome.value, outcome.score) == (told[name].value, told[name].score)
        assert outcome.distances == told[name].distances[:1]
        assert np.isnan(outcome.accuracy)


def test_wrong_labels_of_the_target_change_what_is_credited_alone(one_value):
    domains, methods = domains_of(24, 24), ("source", "coral", "ot", "dann")
    told = compared(domains, methods)
    misled = compared(replace(domains, yt=np.random.default_rng(0).permutation(domains.yt)), methods)
    for name in methods:
        assert (told[name].value, told[name].score) == (misled[name].value, misled[name].score)
        assert told[name].distances == misled[name].distances
        assert told[name].accuracy > misled[name].accuracy


def test_the_target_has_no_labels_where_tuning_looks():
    seen = []

    with domain_routing() as skada:

        class Spy(skada.metrics.PredictionEntropyScorer):
            def _score(self, method, estimator, X, y=None, sample_domain=None, **parameters):
                seen.append((y[sample_domain > 0], y[sample_domain < 0]))
                return super()._score(method, estimator, X, y, sample_domain=sample_domain, **parameters)

        compared(domains_of(30, 30), scorer=Spy())
    assert {label for _, target in seen for label in target} == {-1}
    assert {label for source, _ in seen for label in source} == {0, 1, 2}


def test_an_oracle_whose_labels_are_of_one_class_in_a_draw_is_left_out():
    assert "oracle" not in compared(domains_of(yt=np.eye(1, 60, dtype=int)[0]), ("source", "standardize"))


def test_a_class_of_the_source_that_is_too_small_is_named():
    with pytest.raises(InputError, match="Got 1 images of class '2' for draws=3"):
        split_domains(domains_of(ys=np.r_[2, np.arange(59) % 2]), 3, 0)


def test_too_few_rows_of_the_target_are_too_few():
    with pytest.raises(InputError, match=r"Got 19 usable rows in the target for draws=5. Expected 20"):
        split_domains(domains_of(m=19), 5, 0)


def test_two_draws_give_no_interval():
    with pytest.raises(ParameterError, match="draws=2"):
        split_domains(domains_of(), 2, 0)
