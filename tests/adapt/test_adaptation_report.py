from __future__ import annotations

import sys
import textwrap

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit

import featx
from featx.adapt import AdaptationReport, adaptation_report
from featx.adapt._adaptation_report import check_seed
from featx.adapt._methods import Setting, build, domain_routing
from featx.exceptions import (
    ImageWarning,
    InputError,
    MissingDependencyError,
    ModelError,
    ParameterError,
    UnknownNameError,
)
from featx.scores import ProxyADistance, proxy_a_distance
from tests.adapt.gaussians import draw_domain
from tests.adapt.test_decision import held_out_of, outcomes_of

SHALLOW = ("source", "standardize", "coral", "subspace", "ot")
DIGITS = load_digits()


def report_of(n=150, m=150, seed=0, moved=True, labelled=True, **parameters):
    (Zs, ys), (Zt, yt) = draw_domain(n, seed), draw_domain(m, seed + 100, moved=moved)
    given = {"methods": SHALLOW, "scorer": "entropy", "cv": 3, "verbose": 0, **parameters}
    return adaptation_report(Zs, ys, Zt, yt if labelled else None, **given)


def test_aligning_covariances_helps_where_they_were_stretched():
    report = report_of(methods=["coral"], scorer="circular", cv=5)
    assert report.decision == "helps"
    assert report.verdict.startswith("helps: accuracy")
    assert report.summary.loc["coral", "difference_low"] > 0
    assert report.summary.loc["coral", "proxy_a"] < report.summary.loc["source", "proxy_a"]
    assert report.proxy_a.p_value < 0.01
    assert list(report.summary.index) == ["source", "coral", "oracle"]


@pytest.mark.parametrize("kind", [np.array, list, lambda y: y.astype(float)])
def test_whole_numbers_to_predict_are_refused_as_such(kind):
    (Zs, _), (Zt, _) = draw_domain(60, 0), draw_domain(60, 1)
    with pytest.raises(InputError, match=r"fewer than 5 rows\. .* none of the methods is for numbers to predict"):
        adaptation_report(Zs, kind(np.arange(60) + 18), Zt, verbose=0)


def test_a_tested_image_whose_copy_was_seen_is_warned_of_and_noted(tiny, crops):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    turned = [np.rot90(crop).copy() for crop in crops]
    given = {"methods": ["standardize"], "cv": 3, "encoder": encoder, "scorer": "entropy", "verbose": 0}
    y = np.repeat(["left", "right"], 20)
    assert not adaptation_report(crops, y, turned, y, **given).notes  # a warning would be an error
    with pytest.warns(ImageWarning, match=r"^[1-9] groups of copies .* Leave copies out with featx\.audit") as caught:
        report = adaptation_report(crops, y, [*crops[:9], *turned[9:]], y, **given)
    assert [w.filename for w in caught] == [__file__]
    assert report.notes == [str(caught[0].message)]


@pytest.mark.parametrize("seed", range(2))
def test_without_a_gap_no_method_helps(seed, one_value):
    report = report_of(60, 60, seed=seed, moved=False)
    assert report.decision != "helps"
    assert "In published benchmarks too" in report.verdict
    assert report.proxy_a.distance < 0.8


def test_without_labels_of_the_target_the_gain_stays_unknown():
    report = report_of(60, 60, labelled=False, methods=["standardize"])
    assert report.verdict.startswith("undecided: without labels of the target")
    assert list(report.summary.index) == ["source", "standardize"]
    assert report.summary["accuracy"].isna().all()
    assert report.summary[["unsupervised_score", "proxy_a"]].notna().all(axis=None)


def test_deep_methods_are_compared_too(one_value):
    summary = report_of(24, 24, methods=["dann", "deepcoral"]).summary
    assert list(summary.index) == ["source", "dann", "deepcoral", "oracle"]
    assert summary["accuracy"].notna().all()


@pytest.mark.parametrize("method", ["subspace", "dann"])
def test_the_same_seed_gives_the_same_report_again(method, one_value):
    one, two, other = (report_of(24, 24, methods=[method], random_state=seed).summary for seed in (1, 1, 2))
    assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))
    assert not one.drop(columns="seconds").equals(other.drop(columns="seconds"))


def test_images_are_compared_by_their_embeddings(tiny, tmp_path):
    images = (DIGITS.images * 255 / 16).astype(np.uint8)
    kept = np.flatnonzero(DIGITS.target < 2)[:80]
    bright, dark = kept[:40], kept[40:]
    encoder = featx.ImageEncoder(tiny, cache=tmp_path, verbose=0)
    report = adaptation_report(
        list(images[bright]),
        DIGITS.target[bright],
        list(255 - images[dark]),
        DIGITS.target[dark],
        ["standardize"],
        encoder=encoder,
        verbose=0,
    )
    assert report.summary.loc["standardize", "accuracy"] > report.summary.loc["source", "accuracy"]
    assert featx.EmbeddingStore(tmp_path).info()["rows"].sum() == 80


def test_metadata_routing_is_left_as_it_was():
    report_of(24, 24, methods=["standardize"])
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_the_recipe_of_the_docstring_runs_on_images(photos, tiny):
    recipe = adaptation_report.__doc__.partition("gives the names back::\n")[2].partition("    featx leaves")[0]
    X_source = [photo[i : i + 64, i : i + 64] for i in range(0, 240, 20) for photo in photos]
    y_source, X_target = np.array(["flower", "temple"] * 12), [image // 2 for image in X_source]
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    report = adaptation_report(
        X_source, y_source, X_target, y_source, ["standardize"], encoder=encoder, cv=3, verbose=0
    )
    given = {"np": np, "sklearn": sklearn, "report": report, "new": X_target[:6]}
    given |= {"X_source": X_source, "y_source": y_source, "X_target": X_target}
    with domain_routing():  # switched off again behind it
        exec(textwrap.dedent(recipe), given)
    assert (given["labels"] == y_source[:6]).mean() > 0.8


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"methods": ["corral"]}, UnknownNameError, "'coral'"),
        ({"methods": []}, ParameterError, "at least one"),
        ({"scorer": "circuler"}, UnknownNameError, "'circular'"),
        ({"cv": 2}, ParameterError, "cv=2"),
        ({"random_state": -1}, ParameterError, "random_state=-1"),
        ({"m": 11}, InputError, "Expected 12 or more"),
        ({"n": 6}, InputError, r"fewer than 3 rows\. Expected classes, each of 3 rows or more"),
    ],
)
def test_what_cannot_be_compared_is_an_error(changed, error, message):
    with pytest.raises(error, match=message):
        report_of(**changed)


@pytest.mark.parametrize("given", [{"cv": 2}, {"random_state": "a"}, {"methods": None}, {"scorer": "circuler"}])
def test_parameters_are_checked_before_anything_is_encoded(given):
    with pytest.raises(ParameterError):
        adaptation_report(["missing.jpg"], [0], ["missing.jpg"], **given)


def test_the_distances_before_and_after_are_of_the_same_rows():
    report = report_of(36, 36, methods=["standardize"])
    whole = proxy_a_distance(draw_domain(36, 0)[0], draw_domain(36, 100, moved=True)[0])
    assert report.proxy_a.distance == pytest.approx(report.summary.loc["source", "proxy_a"], abs=0.15)
    assert report.proxy_a.distance != whole.distance
    assert report.proxy_a.p_value == whole.p_value


@pytest.mark.parametrize("package", ["skada", "skorch"])
def test_a_missing_package_is_reported_before_anything_is_encoded(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"featx\[adapt\]"):
        adaptation_report(["missing.jpg"], [0], ["missing.jpg"], methods=["dann"])


def test_a_splitter_or_pairs_of_arrays_divide_both_domains():
    by_splitter = report_of(40, 40, methods=["standardize"], cv=ShuffleSplit(4, test_size=0.3, random_state=0))
    halves = ShuffleSplit(4, test_size=0.3, random_state=0).split(np.empty(40))
    pairs = ((np.r_[train, 40 + train], np.r_[test, 40 + test]) for train, test in halves)
    by_pairs = report_of(40, 40, methods=["standardize"], cv=pairs)
    assert by_splitter.n_folds == by_pairs.n_folds == 4
    assert by_splitter.summary.drop(columns="seconds").equals(by_pairs.summary.drop(columns="seconds"))


def test_skadas_splitters_give_such_pairs():
    (Zs, ys), (Zt, yt) = draw_domain(60, 0), draw_domain(60, 1, moved=True)
    with domain_routing():
        from skada.model_selection import StratifiedDomainShuffleSplit

        splitter = StratifiedDomainShuffleSplit(3, test_size=0.3, random_state=0)
        y, domain = np.r_[ys, np.full(60, -1)], np.repeat([1, -2], 60)
        cv = list(splitter.split(np.r_[Zs, Zt], y, domain))
    report = adaptation_report(Zs, ys, Zt, yt, ["standardize"], scorer="entropy", cv=cv, verbose=0)
    assert report.n_folds == 3
    assert report.decision == "helps"


def test_positions_are_those_of_all_rows_where_some_cannot_be_used():
    (Zs, ys), (Zt, yt) = draw_domain(40, 0), draw_domain(40, 1, moved=True)
    kept = np.r_[1:40, 40:80]
    order = np.random.default_rng(0).permutation(kept)
    cv = [(np.setdiff1d(kept, test), test) for test in np.array_split(order, 3)]
    given = {"methods": ["standardize"], "scorer": "entropy", "verbose": 0}
    holes = Zs.copy()
    holes[0] = np.nan
    with pytest.warns(ImageWarning, match="1 of 40 rows of the source"):
        report = adaptation_report(holes, ys, Zt, yt, cv=cv, **given)
    same = adaptation_report(Zs[1:], ys[1:], Zt, yt, cv=[(train - 1, test - 1) for train, test in cv], **given)
    assert report.summary.drop(columns="seconds").equals(same.summary.drop(columns="seconds"))


def test_a_whole_number_is_taken_as_it_is():
    assert check_seed(np.int64(7)) == 7
    assert check_seed(2**32 - 1) == 2**32 - 1


def test_none_is_another_seed_each_time():
    assert len({check_seed(None) for _ in range(5)}) > 1


@pytest.mark.parametrize("random_state", [-1, "a", 2**40, 1.0, True, np.random.default_rng(0)])
def test_what_is_not_a_seed_is_refused(random_state):
    with pytest.raises(ParameterError, match=r"Got random_state=.* Expected a whole number"):
        check_seed(random_state)


def made_of(outcomes, notes=(), encoder=None):
    """A report of outcomes that are made up."""
    distance = ProxyADistance(1.9, 0.005, 0.02)
    return AdaptationReport(outcomes, held_out_of(outcomes), distance, list(notes), "circular", encoder)


def test_a_report_reads_as_its_verdict_its_table_its_distance_and_its_notes():
    report = made_of(outcomes_of(source=0.5, coral=0.8, oracle=0.9), ["2 rows are left out."])
    lines = repr(report).splitlines()
    assert lines[0] == report.verdict
    assert any(line.startswith("coral") and "shrinkage=0.1" in line for line in lines)
    assert lines[-2:] == ["Proxy A-distance before: 1.90 (p = 0.005).", "2 rows are left out."]


@pytest.mark.parametrize(("coral", "decision"), [(0.8, "helps"), (0.5, "undecided"), (0.2, "hurts")])
def test_the_decision_is_a_field_and_the_verdict_begins_with_it(coral, decision):
    report = made_of(outcomes_of(source=0.5, coral=coral))
    assert report.decision == decision
    assert report.verdict.startswith(f"{decision}: ")


def test_a_report_is_drawn():
    assert len(made_of(outcomes_of(source=0.5, coral=0.8)).plot().get_yticklabels()) == 2


def test_domains_are_drawn_before_and_after_the_best_method_or_another():
    report = made_of(outcomes_of(source=0.5, coral=0.8, ot=0.6, oracle=0.9))
    assert report.best == "coral"
    assert [ax.get_title() for ax in report.plot_domains().axes] == ["before", "after coral"]
    assert [ax.get_title() for ax in report.plot_domains("ot").axes] == ["before", "after ot"]


def test_where_adaptation_hurts_the_source_is_drawn_alone():
    report = made_of(outcomes_of(source=0.8, coral=0.3))
    assert (report.decision, report.best) == ("hurts", "source")
    assert [ax.get_title() for ax in report.plot_domains().axes] == ["before"]


@pytest.mark.parametrize("ask", [AdaptationReport.plot_domains, AdaptationReport.pipeline])
def test_a_method_that_was_not_compared_is_named_with_close_ones(ask):
    with pytest.raises(UnknownNameError, match="'coral'"):
        ask(made_of(outcomes_of(source=0.5, coral=0.8, oracle=0.9)), "corall")


def test_pipelines_are_those_that_were_compared_with_the_encoder_of_images(tiny):
    setting = Setting(LogisticRegression(C=0.1), most=8, seed=0)
    outcomes = outcomes_of(source=0.5, subspace=0.8)
    with domain_routing():
        for name, value in (("source", None), ("subspace", 5)):
            outcomes[name].pipeline = build(name, value, setting)
    model = made_of(outcomes, encoder=featx.ImageEncoder(tiny)).pipeline()
    names = ["imageencoder", "standardscaler", "functiontransformer", "subspacealignmentadapter", "logisticregression"]
    assert list(model.named_steps) == names
    assert model.get_params()["subspacealignmentadapter__n_components"] == 5
    assert list(made_of(outcomes).pipeline("source").named_steps) == [names[1], names[2], names[4]]


def test_a_fitted_pipeline_is_kept_with_joblib_as_saving_it_says(tmp_path):
    (Zs, ys), (Zt, _) = draw_domain(30, 0), draw_domain(30, 1, moved=True)
    outcomes = outcomes_of(source=0.5, standardize=0.8)
    with domain_routing():
        outcomes["standardize"].pipeline = build("standardize", None, Setting(LogisticRegression(), most=8, seed=0))
        model = made_of(outcomes).pipeline()
        y, domain = np.concatenate([ys, np.full(30, -1)]), np.repeat([1, -1], 30)
        model.fit(np.vstack([Zs, Zt]), y, sample_domain=domain)
        with pytest.raises(ModelError, match=r"Step 'logisticregression' .* joblib\.dump"):
            featx.save(model, tmp_path / "model.featx")
        joblib.dump(model, tmp_path / "model.joblib")
        np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(Zt), model.predict(Zt))
