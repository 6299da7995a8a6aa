import numpy as np
import pytest

from featx.compare._learn import Outcome
from featx.compare._tables import (
    curve_table,
    decide_outcomes,
    efficiency_table,
    interval_table,
    labels_text,
    say,
    summary_table,
)
from featx.evaluation import unit_of


def outcomes_of(**shares):
    """Arms with a share of right answers at 10, 100 and 1,000 labels."""
    rng = np.random.default_rng(0)
    return {
        (arm, size): Outcome([(rng.permutation(400) < 400 * share).astype(float) for _ in range(5)])
        for arm, curve in shares.items()
        for size, share in zip((10, 100, 1000), curve, strict=True)
    }


HELPED = outcomes_of(hog=(0.3, 0.5, 0.7), pretrained=(0.6, 0.8, 0.9))


def test_curves_have_a_row_for_each_draw():
    curves = curve_table(HELPED)
    assert len(curves) == 2 * 3 * 5
    assert curves.query("arm == 'hog' and size == 100")["score"].mean() == pytest.approx(0.5)


def test_labels_are_interpolated_on_the_logarithm():
    labels = efficiency_table(HELPED)["hog"]
    assert labels[10] == pytest.approx(100 * 10**0.5)
    assert np.isinf(labels[[100, 1000]]).all()


def test_label_efficiency_says_what_was_not_reached():
    assert labels_text(efficiency_table(HELPED)["hog"]) == "316 for 10"
    never = outcomes_of(hog=(0.1, 0.2, 0.3), pretrained=(0.6, 0.8, 0.9))
    assert labels_text(efficiency_table(never)["hog"]) == "> 1,000 for 10"
    at_once = outcomes_of(hog=(0.9, 0.9, 0.9), pretrained=(0.2, 0.5, 0.6))
    assert labels_text(efficiency_table(at_once)["hog"]) == "≤ 10 for 100"


def test_the_summary_has_every_figure_of_an_arm():
    table = summary_table(HELPED, decide_outcomes(HELPED), {"hog": 1.0, "pretrained": 2.0}, errors=True)
    hog = table.loc["hog"]
    assert hog["score"] == pytest.approx(0.7)
    assert hog["difference"] == pytest.approx(0.2)
    assert hog["error_reduction"] == pytest.approx(2 / 3)
    assert hog["difference_low"] < 0.2 < hog["difference_high"]
    assert table.loc["pretrained", "seconds"] == 2.0
    assert np.isnan(table.loc["pretrained", "difference"])


def test_no_interval_of_accuracy_goes_beyond_one():
    perfect = outcomes_of(hog=(0.99, 0.99, 0.99), pretrained=(0.999, 0.999, 0.999))
    assert interval_table(perfect)["high"].max() == 1


def test_the_sentence_has_the_evidence():
    text = say(HELPED, decide_outcomes(HELPED), unit_of("accuracy"))
    assert text.startswith(
        "helps: accuracy 0.900 against 0.700 for hog with 1,000 labels (+20.0 points, 95 % interval +"
    )
    assert text.endswith("For what transfer does with 10 labels, hog needs 316.")


def test_harm_is_said_with_the_arm_that_shows_it():
    hurt = outcomes_of(hog=(0.3, 0.8, 0.9), pixels=(0.1, 0.1, 0.1), pretrained=(0.3, 0.5, 0.6))
    text = say(hurt, decide_outcomes(hurt), unit_of("accuracy"))
    assert text.startswith("hurts: accuracy 0.600 against 0.900 for hog")
    assert "97.5 % interval" in text


def test_doubt_is_said_with_the_arm_that_raises_it():
    doubt = outcomes_of(hog=(0.3, 0.5, 0.9), pixels=(0.1, 0.1, 0.1), pretrained=(0.3, 0.5, 0.9))
    assert say(doubt, decide_outcomes(doubt), unit_of(None, regression=True)).startswith(
        "undecided: R2 0.900 against 0.900 for hog"
    )


def test_another_unit_is_told_as_it_is():
    doubt = outcomes_of(hog=(0.3, 0.5, 0.9), pretrained=(0.3, 0.5, 0.9))
    text = say(doubt, decide_outcomes(doubt), unit_of("neg_mean_absolute_error"))
    assert "(+0 neg_mean_absolute_error (higher is better: it is minus the error), 95 % interval -0.0" in text
    assert "points" not in text
