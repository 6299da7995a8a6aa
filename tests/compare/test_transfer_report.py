import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

import featx
from featx.compare import transfer_report
from featx.exceptions import FeatxWarning, ImageWarning, InputError, ParameterError, UnknownNameError
from tests.networks import tiny_encoder

DIGITS = load_digits()
KEPT = np.flatnonzero(DIGITS.target < 3)[:90]
IMAGES = list((DIGITS.images[KEPT] * 255 / 16).astype(np.uint8))
LABELS = DIGITS.target[KEPT].astype(str)
KILOJOULES = np.array([image.mean() * 37 for image in IMAGES]).round()
FAST = {"arms": ["pixels", "pretrained"], "draws": 3, "sizes": [12, 40], "verbose": 0}


def report_of(images=IMAGES, labels=LABELS, **parameters):
    return transfer_report(images, labels, **{"encoder": tiny_encoder(), **FAST, **parameters})


def test_raw_pixels_beat_an_untrained_network_on_digits():
    report = report_of()
    assert report.word == "hurts"
    assert report.summary.loc["pixels", "score"] > 0.9


def test_transfer_helps_where_the_other_arm_guesses():
    report = report_of(arms=["pretrained"], extra_arms={"guess": DummyClassifier()})
    assert report.verdict.startswith("helps: accuracy")
    assert list(report.summary.index) == ["pretrained", "guess"]


def test_a_named_network_is_compared_with_its_untrained_one():
    report = report_of(encoder=featx.ImageEncoder("efficientnet_lite0", verbose=0), arms=["random", "pretrained"])
    assert list(report.summary.index) == ["random", "pretrained"]
    assert (report.summary["score"] > 0.5).all()


def test_a_network_of_ones_own_is_compared_without_its_untrained_one():
    report = report_of(arms=["pixels", "random", "pretrained"])
    assert "random" not in report.summary.index
    assert "The arm 'random' is left out" in repr(report)


def test_every_arm_sees_the_same_rows_again():
    one, two = report_of(), report_of()
    assert one.curves.equals(two.curves)
    assert not one.curves.equals(report_of(random_state=1).curves)


def test_numbers_are_predicted_with_ridge():
    brightness = np.array([image.mean() for image in IMAGES]) / 7
    report = report_of(labels=brightness)
    assert report.scoring == "R2"
    assert report.summary.loc["pixels", "score"] > 0.9


@pytest.mark.parametrize("kind", [np.array, list, lambda y: y.astype(int), lambda y: pd.Series(y, dtype="Int64")])
def test_whole_numbers_are_predicted_and_it_is_said_once(kind, tmp_path):
    with pytest.warns(FeatxWarning, match='fewer than 3 rows: .*Pass task="regression"') as caught:
        report = report_of(labels=kind(KILOJOULES))
    assert [w.filename for w in caught] == [__file__]
    assert report.scoring == "R2"
    said = report_of(labels=kind(KILOJOULES), task="regression")  # a warning would be an error
    assert said.curves.equals(report.curves)
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "likely wrong" not in page
    assert "Labels are numbers to predict: they are not judged" in page


def test_another_unit_is_told_as_it_is_and_its_sign_is_explained(tmp_path):
    report = report_of(labels=KILOJOULES, task="regression", scoring="neg_mean_absolute_error")
    gain = report.summary.loc["pixels", "difference"]
    assert f"({gain:+.4g} neg_mean_absolute_error (higher is better: it is minus the error)" in report.verdict
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "points" not in report.verdict + page.partition('id="suspects"')[0].partition('id="arms"')[2]
    assert f"{gain:+.4g}".replace("-", "\N{MINUS SIGN}") in page
    assert report.plot().get_ylabel() == "neg_mean_absolute_error (higher is better: it is minus the error)"


def test_a_head_may_be_an_estimator_that_is_empty_before_it_is_fitted():
    report = report_of(head=RandomForestClassifier(5, random_state=0), sizes=[40])
    assert report.summary.loc["pixels", "score"] > 0.8


def test_whole_numbers_are_predicted_where_the_head_is_a_regressor():
    brightness = np.array([image.mean() for image in IMAGES]).astype(int)
    assert report_of(labels=brightness, head="ridge").scoring == "R2"


def test_another_scoring_is_averaged_over_draws():
    report = report_of(scoring="balanced_accuracy")
    assert report.scoring == "balanced_accuracy"
    assert "error_reduction" not in report.summary


def test_a_bad_image_is_left_out_of_every_arm_with_one_warning():
    with pytest.warns(ImageWarning, match="1 of 91 images") as warned:
        report = report_of([*IMAGES, "missing.jpg"], [*LABELS, "0"])
    assert len(warned) == 1
    assert len(report.predictions) == 90
    assert report.notes == ["1 of 91 images cannot be used and are left out."]


def test_groups_stay_on_one_side():
    groups = np.arange(90) // 5
    report = report_of(groups=groups, sizes=None)
    for _, rows in report.predictions.groupby(groups):
        assert rows["draw"].nunique() == 1


def test_constant_images_teach_no_arm_anything():
    with pytest.warns(ImageWarning, match="1 groups of copies"):
        report = report_of([np.full((8, 8), 7, np.uint8)] * 90)
    assert report.word == "undecided"


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
        ({"labels": ["rare", *LABELS[1:]]}, InputError, "Got 1 images of class 'rare' for draws=3"),
        ({"groups": [1, 2]}, InputError, r"groups of shape \(2,\) for 90 images"),
        ({"groups": [0] * 90}, InputError, "Got 1 groups for draws=3"),
        ({"sizes": [61]}, ParameterError, "to 60"),
        ({"head": "logistik"}, UnknownNameError, "'logistic'"),
        ({"arms": ["hogg", "pretrained"]}, UnknownNameError, "'hog'"),
        ({"labels": np.linspace(0, 1, 90), "head": "svm"}, InputError, 'a regressor, or task="regression"'),
        ({"task": "regression", "head": "svm"}, ParameterError, "Expected a regressor, such as head='ridge'"),
        ({"task": "classification", "head": "ridge"}, ParameterError, "Expected a classifier"),
        ({"task": "ranking"}, UnknownNameError, "'classification'"),
        ({"labels": KILOJOULES, "task": "classification"}, InputError, r"of class '\d+.*pass task=\"regression\""),
        ({"images": "photo.jpg"}, InputError, "a single str"),
    ],
)
def test_what_cannot_be_compared_is_said(changed, error, message):
    with pytest.raises(error, match=message):
        report_of(**changed)
