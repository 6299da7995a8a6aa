import pickle

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupShuffleSplit, RepeatedStratifiedKFold, ShuffleSplit, StratifiedShuffleSplit

import featx
from featx.compare import HeldOut, transfer_report
from featx.compare._learn import Outcome
from featx.compare._tables import (
    curve_table,
    decide_transfer,
    draw_curves,
    efficiency_table,
    interval_table,
    labels_text,
    summary_table,
    write_verdict,
)
from featx.evaluation import unit_of
from featx.exceptions import FeatxWarning, ImageWarning, InputError, ParameterError, UnknownNameError
from tests.networks import tiny_encoder

DIGITS = load_digits()
KEPT = np.flatnonzero(DIGITS.target < 3)[:90]
IMAGES = list((DIGITS.images[KEPT] * 255 / 16).astype(np.uint8))
LABELS = DIGITS.target[KEPT].astype(str)
KILOJOULES = np.array([image.mean() * 37 for image in IMAGES]).round()
FAST = {"feature_sets": ["pixels", "pretrained"], "cv": 3, "sizes": [12, 40], "verbose": 0}


def report_of(images=IMAGES, labels=LABELS, **parameters):
    return transfer_report(images, labels, **{"encoder": tiny_encoder(), **FAST, **parameters})


def test_raw_pixels_beat_an_untrained_network_on_digits():
    report = report_of()
    assert report.decision == "hurts"
    assert report.summary.loc["pixels", "score"] > 0.9


def test_transfer_helps_where_the_rival_guesses():
    report = report_of(feature_sets=["pretrained"], extra_feature_sets={"guess": DummyClassifier()})
    assert report.verdict.startswith("helps: accuracy")
    assert list(report.summary.index) == ["pretrained", "guess"]


def test_a_named_network_is_compared_with_its_untrained_one():
    report = report_of(
        encoder=featx.ImageEncoder("efficientnet_lite0", verbose=0), feature_sets=["random", "pretrained"]
    )
    assert list(report.summary.index) == ["random", "pretrained"]
    assert (report.summary["score"] > 0.5).all()


def test_a_user_s_network_is_compared_without_its_untrained_one():
    report = report_of(feature_sets=["pixels", "random", "pretrained"])
    assert "random" not in report.summary.index
    assert "The feature set 'random' is left out" in repr(report)


def test_every_feature_set_has_the_same_rows_again():
    one, two = report_of(), report_of()
    assert one.curves.equals(two.curves)
    assert not one.curves.equals(report_of(random_state=1).curves)


def test_numbers_are_predicted_with_ridge():
    brightness = np.array([image.mean() for image in IMAGES]) / 7
    report = report_of(labels=brightness)
    assert report.scoring == "R2"
    assert report.summary.loc["pixels", "score"] > 0.9


@pytest.mark.parametrize("kind", [np.array, list, lambda y: y.astype(int), lambda y: pd.Series(y, dtype="Int64")])
def test_whole_numbers_are_predicted_with_one_warning(kind, tmp_path):
    with pytest.warns(FeatxWarning, match='fewer than 3 rows: .*Pass task="regression"') as caught:
        report = report_of(labels=kind(KILOJOULES))
    assert [w.filename for w in caught] == [__file__]
    assert report.scoring == "R2"
    given = report_of(labels=kind(KILOJOULES), task="regression")  # a warning would be an error
    assert given.curves.equals(report.curves)
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "likely wrong" not in page
    assert "Labels are numbers to predict: they are not judged" in page


def test_another_unit_is_written_as_it_is_and_its_sign_is_explained(tmp_path):
    report = report_of(labels=KILOJOULES, task="regression", scoring="neg_mean_absolute_error")
    gain = report.summary.loc["pixels", "difference"]
    assert f"({gain:+.4g} neg_mean_absolute_error (higher is better: it is minus the error)" in report.verdict
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "points" not in report.verdict + page.partition('id="suspects"')[0].partition('id="features"')[2]
    assert f"{gain:+.4g}".replace("-", "\N{MINUS SIGN}") in page
    assert report.plot().get_ylabel() == "neg_mean_absolute_error (higher is better: it is minus the error)"


def test_a_head_may_be_an_estimator_that_is_empty_before_it_is_fitted():
    report = report_of(head=RandomForestClassifier(5, random_state=0), sizes=[40])
    assert report.summary.loc["pixels", "score"] > 0.8


def test_whole_numbers_are_predicted_where_the_head_is_a_regressor():
    brightness = np.array([image.mean() for image in IMAGES]).astype(int)
    assert report_of(labels=brightness, head="ridge").scoring == "R2"


def test_another_scoring_is_averaged_over_folds():
    report = report_of(scoring="balanced_accuracy")
    assert report.scoring == "balanced_accuracy"
    assert "error_reduction" not in report.summary


def test_a_bad_image_is_left_out_of_every_feature_set_with_one_warning():
    with pytest.warns(ImageWarning, match="1 of 91 images") as warned:
        report = report_of([*IMAGES, "missing.jpg"], [*LABELS, "0"])
    assert len(warned) == 1
    assert len(report.predictions) == 90
    assert report.notes == ["1 of 91 images cannot be used and are left out."]


def test_groups_stay_on_one_side():
    groups = np.arange(90) // 5
    report = report_of(groups=groups, sizes=None)
    for _, rows in report.predictions.groupby(groups):
        assert rows["fold"].nunique() == 1


def test_constant_images_leave_it_undecided():
    with pytest.warns(ImageWarning, match="1 groups of copies"):
        report = report_of([np.full((8, 8), 7, np.uint8)] * 90)
    assert report.decision == "undecided"


@pytest.mark.parametrize("head", ["logistic", "ridge"])
def test_copies_on_both_sides_of_a_fold_are_warned_of_and_noted(head):
    images, labels = [*IMAGES, *IMAGES[:20]], np.tile(LABELS, 2)[:110]
    numbers = np.arange(110) % 20 / 7
    with pytest.warns(ImageWarning, match=r"of equal content\) are on both sides") as caught:
        report = report_of(images, labels if head == "logistic" else numbers, head=head)
    assert [w.filename for w in caught] == [__file__]
    assert report.notes == [str(caught[0].message)]
    groups = [*range(90), *range(20)]  # a warning would be an error
    assert not report_of(images, labels if head == "logistic" else numbers, head=head, groups=groups).notes


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"labels": ["a"] * 90}, InputError, "one class, 'a'"),
        ({"labels": LABELS[:-1]}, InputError, r"shape \(89,\) for 90"),
        ({"labels": ["rare", *LABELS[1:]]}, InputError, "Got 1 images of class 'rare' for cv=3"),
        ({"groups": [1, 2]}, InputError, r"groups of shape \(2,\) for 90 images"),
        ({"groups": [0] * 90}, InputError, "Got 1 groups for cv=3"),
        ({"sizes": [61]}, ParameterError, "to 60"),
        ({"head": "logistik"}, UnknownNameError, "'logistic'"),
        ({"feature_sets": ["hogg", "pretrained"]}, UnknownNameError, "'hog'"),
        ({"labels": np.linspace(0, 1, 90), "head": "svm"}, InputError, 'a regressor, or task="regression"'),
        ({"task": "regression", "head": "svm"}, ParameterError, "Expected a regressor, such as head='ridge'"),
        ({"task": "classification", "head": "ridge"}, ParameterError, "Expected a classifier"),
        ({"task": "ranking"}, UnknownNameError, "'classification'"),
        ({"labels": KILOJOULES, "task": "classification"}, InputError, r"of class '\d+.*pass task=\"regression\""),
        ({"images": "photo.jpg"}, InputError, "a single str"),
    ],
)
def test_what_cannot_be_compared_is_an_error(changed, error, message):
    with pytest.raises(error, match=message):
        report_of(**changed)


SHUFFLED = ShuffleSplit(4, random_state=0)


@pytest.mark.parametrize("cv", [SHUFFLED, iter(list(SHUFFLED.split(IMAGES)))], ids=["splitter", "iterator"])
def test_a_splitter_or_pairs_of_arrays_decide_which_images_are_tested(cv, tmp_path):
    report = report_of(cv=cv)
    expected = list(SHUFFLED.split(IMAGES))
    assert report.n_folds == 4
    assert report.curves["fold"].nunique() == 4
    assert len(report.predictions) == 4 * 9  # some images twice, others never
    for number, rows in report.predictions.groupby("fold"):
        assert sorted(rows.index) == sorted(expected[number][1])
        assert (rows["truth"] == LABELS[rows.index]).all()
    assert f"{report.predictions.index.nunique()} images where" in report.to_html(tmp_path / "report.html").read_text()


def test_more_repetitions_are_not_more_images():
    once = report_of(cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=1, random_state=0), sizes=[40])
    often = report_of(cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=8, random_state=0), sizes=[40])
    widths = [(one.summary["high"] - one.summary["low"])["pretrained"] for one in (once, often)]
    assert widths[1] > 0.6 * widths[0]


def test_splits_are_those_of_all_images_where_some_cannot_be_read():
    images, labels = ["missing.jpg", *IMAGES], ["0", *LABELS]
    folds = [(np.arange(0, 91, 3), np.arange(i, 91, 3)) for i in (1, 2, 1)]
    with pytest.warns(ImageWarning, match="1 of 91 images"):
        report = report_of(images, labels, cv=folds, sizes=[12, 30])
    assert sorted(report.predictions.query("fold == 1").index) == list(range(2, 91, 3))
    assert (report.predictions["truth"] == np.array(labels)[report.predictions.index]).all()


def test_numbers_and_groups_are_divided_by_splitters_too():
    brightness, groups = np.array([image.mean() for image in IMAGES]) / 7, np.arange(90) // 5
    report = report_of(labels=brightness, cv=GroupShuffleSplit(3, random_state=0), groups=groups, sizes=None)
    for _, rows in report.predictions.groupby("fold"):
        assert len(set(groups[rows.index])) * 5 == len(rows)
    assert report_of(cv=StratifiedShuffleSplit(3, test_size=0.3, random_state=0), sizes=None).n_folds == 3


@pytest.mark.parametrize("cv", [2, "five", ShuffleSplit(2), [([0], [1])] * 2, [([0, 1], [95])] * 3])
def test_what_is_not_cv_is_refused_before_anything_is_encoded(cv):
    with pytest.raises(ParameterError, match="Got cv"):
        report_of(["missing.jpg"] * 90, cv=cv)  # of which none can be encoded


@pytest.fixture(scope="module")
def report():
    return report_of(pd.Series(IMAGES, index=[f"digit{i}" for i in range(90)]))


def test_it_prints_its_verdict_and_its_table(report):
    assert repr(report).startswith(report.verdict)
    assert report.verdict.startswith(f"{report.decision}: ")
    assert "label_efficiency" in repr(report)


def test_predictions_keep_the_rows_of_the_images(report):
    table = report.predictions
    assert list(table.index) == [f"digit{i}" for i in range(90)]
    assert (table["truth"] == LABELS).all()
    right = (table["pixels"] == table["truth"]).groupby(table["fold"]).mean()
    assert right.mean() == pytest.approx(report.summary.loc["pixels", "score"])
    assert table["confidence"].between(1 / 3, 1).all()


def test_it_survives_pickle(report):
    again = pickle.loads(pickle.dumps(report))
    assert (again.verdict, again.decision) == (report.verdict, report.decision)
    assert again.summary.equals(report.summary)
    np.testing.assert_array_equal(again.predictions.index, report.predictions.index)


def test_its_plot_has_the_curves(report):
    assert len(report.plot().lines) == 2


def outcomes_of(**shares):
    """Feature sets with a share of right answers at 10, 100 and 1,000 labels."""
    rng = np.random.default_rng(0)
    return {
        (name, size): Outcome([(rng.permutation(400) < 400 * share).astype(float) for _ in range(5)])
        for name, curve in shares.items()
        for size, share in zip((10, 100, 1000), curve, strict=True)
    }


HELPED = outcomes_of(hog=(0.3, 0.5, 0.7), pretrained=(0.6, 0.8, 0.9))
HELD_OUT = HeldOut([np.arange(400) + 400 * i for i in range(5)], share=0.25)


def test_curves_have_a_row_for_each_fold():
    curves = curve_table(HELPED)
    assert len(curves) == 2 * 3 * 5
    assert curves.query("feature_set == 'hog' and size == 100")["score"].mean() == pytest.approx(0.5)


def test_labels_are_interpolated_on_the_logarithm():
    labels = efficiency_table(HELPED)["hog"]
    assert labels[10] == pytest.approx(100 * 10**0.5)
    assert np.isinf(labels[[100, 1000]]).all()


def test_label_efficiency_shows_what_was_not_reached():
    assert labels_text(efficiency_table(HELPED)["hog"]) == "316 for 10"
    never = outcomes_of(hog=(0.1, 0.2, 0.3), pretrained=(0.6, 0.8, 0.9))
    assert labels_text(efficiency_table(never)["hog"]) == "> 1,000 for 10"
    at_once = outcomes_of(hog=(0.9, 0.9, 0.9), pretrained=(0.2, 0.5, 0.6))
    assert labels_text(efficiency_table(at_once)["hog"]) == "≤ 10 for 100"


def test_the_summary_has_every_figure_of_a_feature_set():
    table = summary_table(
        HELPED, decide_transfer(HELPED, HELD_OUT), HELD_OUT, {"hog": 1.0, "pretrained": 2.0}, errors=True
    )
    hog = table.loc["hog"]
    assert hog["score"] == pytest.approx(0.7)
    assert hog["difference"] == pytest.approx(0.2)
    assert hog["error_reduction"] == pytest.approx(2 / 3)
    assert hog["difference_low"] < 0.2 < hog["difference_high"]
    assert table.loc["pretrained", "seconds"] == 2.0
    assert np.isnan(table.loc["pretrained", "difference"])


def test_no_interval_of_accuracy_goes_beyond_one():
    perfect = outcomes_of(hog=(0.99, 0.99, 0.99), pretrained=(0.999, 0.999, 0.999))
    assert interval_table(perfect, HELD_OUT)["high"].max() == 1


def test_the_sentence_has_the_evidence():
    text, advice = write_verdict(HELPED, decide_transfer(HELPED, HELD_OUT), unit_of("accuracy"))
    assert text.startswith(
        "helps: accuracy 0.900 against 0.700 for hog with 1,000 labels (+20.0 points, 95 % interval +"
    )
    assert advice == "For what transfer does with 10 labels, hog needs 316."


def test_harm_is_reported_with_the_rival_that_shows_it():
    hurt = outcomes_of(hog=(0.3, 0.8, 0.9), pixels=(0.1, 0.1, 0.1), pretrained=(0.3, 0.5, 0.6))
    text, _ = write_verdict(hurt, decide_transfer(hurt, HELD_OUT), unit_of("accuracy"))
    assert text.startswith("hurts: accuracy 0.600 against 0.900 for hog")
    assert "97.5 % interval" in text


def test_doubt_is_reported_with_the_rival_that_raises_it():
    doubt = outcomes_of(hog=(0.3, 0.5, 0.9), pixels=(0.1, 0.1, 0.1), pretrained=(0.3, 0.5, 0.9))
    text, advice = write_verdict(doubt, decide_transfer(doubt, HELD_OUT), unit_of(None, regression=True))
    assert text.startswith("undecided: R2 0.900 against 0.900 for hog")
    assert advice == "More labeled images would narrow the interval."


def test_the_verdict_keeps_the_unit_of_the_score():
    doubt = outcomes_of(hog=(0.3, 0.5, 0.9), pretrained=(0.3, 0.5, 0.9))
    text, _ = write_verdict(doubt, decide_transfer(doubt, HELD_OUT), unit_of("neg_mean_absolute_error"))
    assert "(+0 neg_mean_absolute_error (higher is better: it is minus the error), 95 % interval -0.0" in text
    assert "points" not in text


def test_each_feature_set_has_a_curve_on_the_logarithm():
    ax = draw_curves(interval_table(HELPED, HELD_OUT), "accuracy")
    assert [line.get_label() for line in ax.lines] == ["hog", "pretrained"]
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "accuracy"


def test_curves_are_drawn_on_given_axes():
    own = Figure().add_subplot()
    assert draw_curves(interval_table(HELPED, HELD_OUT), "accuracy", own) is own
