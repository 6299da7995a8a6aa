import pickle

import numpy as np
import pandas as pd
import pytest

from featx.compare import transfer_report
from tests.compare.test_transfer_report import FAST, IMAGES, LABELS


@pytest.fixture(scope="module")
def report():
    from tests.networks import tiny_encoder

    images = pd.Series(IMAGES, index=[f"digit{i}" for i in range(90)])
    return transfer_report(images, LABELS, encoder=tiny_encoder(), **FAST)


def test_it_prints_its_verdict_and_its_table(report):
    assert repr(report).startswith(report.verdict)
    assert "label_efficiency" in repr(report)


def test_predictions_keep_the_rows_of_the_images(report):
    table = report.predictions
    assert list(table.index) == [f"digit{i}" for i in range(90)]
    assert (table["truth"] == LABELS).all()
    right = (table["pixels"] == table["truth"]).groupby(table["draw"]).mean()
    assert right.mean() == pytest.approx(report.summary.loc["pixels", "score"])
    assert table["confidence"].between(1 / 3, 1).all()


def test_it_survives_pickle(report):
    again = pickle.loads(pickle.dumps(report))
    assert again.verdict == report.verdict
    assert again.summary.equals(report.summary)
    np.testing.assert_array_equal(again.predictions.index, report.predictions.index)


def test_its_plot_has_the_curves(report):
    assert len(report.plot().lines) == 2
