from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, LeaveOneOut, ShuffleSplit

from featx.adapt._domains import Domains
from featx.adapt._evaluate import (
    SCORERS,
    check_scorer,
    compare_methods,
    keep_domain_rows,
    make_scorer,
    quiet,
    split_domains,
    stack,
    tune,
)
from featx.adapt._methods import METHODS, Setting, build, candidates, domain_routing
from featx.exceptions import InputError, ParameterError, UnknownNameError
from tests.adapt.gaussians import draw_domain

COMPARED = ("source", "subspace")
SETTING = Setting(LogisticRegression(), most=8, seed=0)
ROWS = stack(*draw_domain(60, 0), draw_domain(60, 1, moved=True)[0])
HALVES = [(np.arange(i, 120, 2), np.arange(1 - i, 120, 2)) for i in range(2)]


def domains_of(n=60, m=60, seed=0, **changed):
    (Zs, ys), (Zt, yt) = draw_domain(n, seed), draw_domain(m, seed + 1, moved=True)
    return replace(Domains(Zs, ys, Zt, yt, np.arange(3), []), **changed)


def compared(domains, methods=COMPARED, cv=3, seed=0, scorer="entropy"):
    return compare_methods(domains, methods, split_domains(domains, cv, seed), scorer, seed, int)


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
    assert [sum(map(len, outcome.sample_scores)) for outcome in outcomes.values()] == [60] * 3
    assert len(outcomes["subspace"].distances) == 3
    assert not hasattr(outcomes["subspace"].pipeline[-1], "base_estimator_")
    assert outcomes["oracle"].accuracy > outcomes["source"].accuracy


def test_the_distance_falls_where_covariances_are_aligned():
    outcomes = compared(domains_of(90, 90), ("source", "coral"))
    assert np.mean(outcomes["coral"].distances) < np.mean(outcomes["source"].distances) - 0.5


def test_without_labels_of_the_target_the_same_is_chosen_and_nothing_scored():
    labeled, blind = compared(domains_of()), compared(domains_of(yt=None))
    assert list(blind) == ["source", "subspace"]
    for name, outcome in blind.items():
        assert (outcome.value, outcome.score) == (labeled[name].value, labeled[name].score)
        assert outcome.distances == labeled[name].distances[:1]
        assert np.isnan(outcome.accuracy)


def test_wrong_labels_of_the_target_change_the_scores_alone(one_value):
    domains, methods = domains_of(24, 24), ("source", "coral", "ot", "dann")
    labeled = compared(domains, methods)
    misled = compared(replace(domains, yt=np.random.default_rng(0).permutation(domains.yt)), methods)
    for name in methods:
        assert (labeled[name].value, labeled[name].score) == (misled[name].value, misled[name].score)
        assert labeled[name].distances == misled[name].distances
        assert labeled[name].accuracy > misled[name].accuracy


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


def test_an_oracle_whose_labels_are_of_one_class_in_a_fold_is_left_out():
    assert "oracle" not in compared(domains_of(yt=np.eye(1, 60, dtype=int)[0]), ("source", "standardize"))


def test_a_class_of_the_source_that_is_too_small_is_named():
    with pytest.raises(InputError, match="Got 1 images of class '2' for cv=3"):
        split_domains(domains_of(ys=np.r_[2, np.arange(59) % 2]), 3, 0)


def test_too_few_rows_of_the_target_are_too_few():
    with pytest.raises(InputError, match=r"Got 19 usable rows in the target for cv=5. Expected 20"):
        split_domains(domains_of(m=19), 5, 0)


def test_two_folds_give_no_interval():
    with pytest.raises(ParameterError, match="cv=2"):
        split_domains(domains_of(), 2, 0)


def test_a_splitter_divides_each_domain_and_the_target_without_its_labels():
    domains = domains_of(60, 40)
    splits = split_domains(domains, ShuffleSplit(4, test_size=0.25, random_state=3), 0)
    source = list(ShuffleSplit(4, test_size=0.25, random_state=3).split(domains.Zs))
    target = list(ShuffleSplit(4, test_size=0.25, random_state=3).split(domains.Zt))
    assert len(splits) == 4
    for split, (_, ours), (adapting, theirs) in zip(splits, source, target, strict=True):
        np.testing.assert_array_equal(split.source.test, ours)
        np.testing.assert_array_equal(split.target.test, theirs)
        np.testing.assert_array_equal(np.sort(split.target.train), np.sort(adapting))


def test_positions_are_those_of_the_source_before_the_target():
    order = np.random.default_rng(0).permutation(120)
    cv = [(np.setdiff1d(np.arange(120), test), test) for test in np.array_split(order, 3)]
    for split, (_, test) in zip(split_domains(domains_of(), cv, 0), cv, strict=True):
        np.testing.assert_array_equal(split.source.test, test[test < 60])
        np.testing.assert_array_equal(split.target.test, test[test >= 60] - 60)


def test_positions_are_renumbered_where_rows_are_left_out():
    cv = keep_domain_rows([([0, 1, 4, 5], [2, 3, 6])] * 3, np.array([1, 2, 3]), np.array([0, 2]), 4, 3)
    assert [part.tolist() for part in cv[0]] == [[0, 3], [1, 2, 4]]
    assert keep_domain_rows(5, np.arange(2), np.arange(2), 4, 3) == 5


@pytest.mark.parametrize(
    ("cv", "error", "message"),
    [
        (LeaveOneOut(), ParameterError, "60 folds of the source and 50 of the target"),
        (GroupKFold(3), ParameterError, "gives no folds"),
        ([(np.arange(60), np.arange(60, 110))] * 3, InputError, "without an image to train on, or to test"),
        ([(np.r_[0:50, 60:107], np.r_[50:60, 107:110])] * 3, InputError, "tests 10 rows of the source and 3 of the"),
        ([(np.r_[0:4, 60:80], np.r_[50:60, 80:110])] * 3, InputError, "one training image of class '1' of the source"),
    ],
)
def test_folds_of_too_few_rows_are_an_error(cv, error, message):
    with pytest.raises(error, match=message):
        split_domains(domains_of(60, 50), cv, 0)


def tuned(name, scorer="circular", rows=ROWS):
    with domain_routing():
        return tune(name, SETTING, rows, HALVES, scorer)


@pytest.mark.parametrize("name", ["source", "coral", "subspace", "ot", "deepcoral"])
def test_one_of_the_values_is_chosen_with_its_score(name):
    value, score = tuned(name)
    assert value in candidates(name, SETTING)
    assert 0 <= score <= 1


@pytest.mark.parametrize("name", METHODS)
def test_every_scorer_scores_every_method(name):
    with domain_routing(), quiet():
        model = build(name, candidates(name, SETTING)[-1], SETTING).fit(
            ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain
        )
        scores = [
            make_scorer(scorer, seed=0)(model, ROWS.X, ROWS.y.copy(), sample_domain=ROWS.domain) for scorer in SCORERS
        ]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_tunes(scorer):
    assert np.isfinite(tuned("standardize", scorer)[1])


def test_a_scorer_of_skada_is_taken_as_it_is():
    with domain_routing() as skada:
        scorer = check_scorer(skada.metrics.CircularValidation())
    assert tuned("subspace", scorer) == tuned("subspace")


def test_circular_validation_prefers_the_method_that_undoes_the_gap():
    assert tuned("standardize")[1] > tuned("source")[1] + 0.1


def test_predictions_of_one_class_do_not_warn():
    rows = stack(*draw_domain(60, 0), np.tile([[9.0] + 7 * [0.0]], (60, 1)))
    assert np.isfinite(tuned("source", rows=rows)[1])


def test_an_unknown_scorer_is_named_with_close_ones():
    with pytest.raises(UnknownNameError, match="'circular'"):
        check_scorer("circula")
    with pytest.raises(UnknownNameError, match="'circular'"):
        check_scorer(["circular"])


def test_a_class_is_not_a_scorer():
    with domain_routing() as skada, pytest.raises(ParameterError, match=r"CircularValidation\(\)"):
        check_scorer(skada.metrics.CircularValidation)
