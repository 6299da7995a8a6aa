from __future__ import annotations

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import featx
from featx.adapt import AdaptationReport
from featx.adapt._methods import Task, build
from featx.adapt._routing import domain_routing
from featx.exceptions import ModelError, UnknownNameError
from featx.scores import ProxyADistance
from tests.adapt.gaussians import draw_domain
from tests.adapt.test_verdict import outcomes_of


def report_of(outcomes, notes=(), encoder=None):
    return AdaptationReport(outcomes, ProxyADistance(1.9, 0.005, 0.02), list(notes), 5, "circular", encoder)


def test_a_report_reads_as_its_verdict_its_table_its_distance_and_its_notes():
    report = report_of(outcomes_of(source=0.5, coral=0.8, oracle=0.9), ["2 rows are left out."])
    lines = repr(report).splitlines()
    assert lines[0] == report.verdict
    assert any(line.startswith("coral") and "shrinkage=0.1" in line for line in lines)
    assert lines[-2:] == ["Proxy A-distance before: 1.90 (p = 0.005).", "2 rows are left out."]


@pytest.mark.parametrize(("coral", "word"), [(0.8, "helps"), (0.5, "undecided"), (0.2, "hurts")])
def test_the_word_is_the_verdicts_first(coral, word):
    assert report_of(outcomes_of(source=0.5, coral=coral)).word == word


def test_a_report_is_drawn():
    assert len(report_of(outcomes_of(source=0.5, coral=0.8)).plot().get_yticklabels()) == 2


def test_domains_are_drawn_before_and_after_the_best_method_or_another():
    report = report_of(outcomes_of(source=0.5, coral=0.8, ot=0.6, oracle=0.9))
    assert report.best == "coral"
    assert [ax.get_title() for ax in report.plot_domains().axes] == ["before", "after coral"]
    assert [ax.get_title() for ax in report.plot_domains("ot").axes] == ["before", "after ot"]


def test_where_adaptation_hurts_the_source_is_drawn_alone():
    report = report_of(outcomes_of(source=0.8, coral=0.3))
    assert (report.word, report.best) == ("hurts", "source")
    assert [ax.get_title() for ax in report.plot_domains().axes] == ["before"]


@pytest.mark.parametrize("ask", [AdaptationReport.plot_domains, AdaptationReport.pipeline])
def test_a_method_that_was_not_compared_is_named_with_close_ones(ask):
    with pytest.raises(UnknownNameError, match="'coral'"):
        ask(report_of(outcomes_of(source=0.5, coral=0.8, oracle=0.9)), "corall")


def test_pipelines_are_those_that_were_compared_with_the_encoder_of_images(tiny):
    task = Task(LogisticRegression(C=0.1), most=8, seed=0)
    outcomes = outcomes_of(source=0.5, subspace=0.8)
    with domain_routing():
        for name, value in (("source", None), ("subspace", 5)):
            outcomes[name].pipeline = build(name, value, task)
    model = report_of(outcomes, encoder=featx.ImageEncoder(tiny)).pipeline()
    names = ["imageencoder", "standardscaler", "functiontransformer", "subspacealignmentadapter", "logisticregression"]
    assert list(model.named_steps) == names
    assert model.get_params()["subspacealignmentadapter__n_components"] == 5
    assert list(report_of(outcomes).pipeline("source").named_steps) == [names[1], names[2], names[4]]


def test_a_fitted_pipeline_is_kept_with_joblib_as_saving_it_says(tmp_path):
    (Zs, ys), (Zt, _) = draw_domain(30, 0), draw_domain(30, 1, moved=True)
    outcomes = outcomes_of(source=0.5, standardize=0.8)
    with domain_routing():
        outcomes["standardize"].pipeline = build("standardize", None, Task(LogisticRegression(), most=8, seed=0))
        model = report_of(outcomes).pipeline()
        y, domain = np.concatenate([ys, np.full(30, -1)]), np.repeat([1, -1], 30)
        model.fit(np.vstack([Zs, Zt]), y, sample_domain=domain)
        with pytest.raises(ModelError, match=r"Step 'logisticregression' .* joblib\.dump"):
            featx.save(model, tmp_path / "model.featx")
        joblib.dump(model, tmp_path / "model.joblib")
        np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(Zt), model.predict(Zt))
