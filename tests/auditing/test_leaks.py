from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import featx
from featx.auditing._leaks import notes_on_names

KINDS = ["cat", "dog"] * 10


def test_names_of_files_that_hold_the_label_are_reported():
    files = [f"photos/{i}/{kind.upper()}-{i}.jpg" for i, kind in enumerate(KINDS)]
    (note,) = notes_on_names(files, None, KINDS)
    assert note.startswith("The names of 100 % of the files hold the label, such as CAT-0.jpg")
    prices = [i / 2 for i in range(20)]
    assert notes_on_names([f"{i}_{price:g}.jpg" for i, price in enumerate(prices)], None, prices)


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        ([f"photos/{kind}/{i}.jpg" for i, kind in enumerate(KINDS)], KINDS),  # a folder is the label, as it should be
        ([f"category-{kind}s.jpg" for kind in KINDS], KINDS),  # no word by itself
        ([f"{kind}.jpg" for kind in KINDS[::-1]], KINDS),
        ([f"{kind}.jpg" for kind in KINDS[:8]], KINDS[:8]),  # too few to tell
        (["cat.jpg"] * 20, ["cat"] * 20),
        ([np.zeros((4, 4), np.uint8)] * 20, KINDS),
        ([f"{kind}.jpg" for kind in KINDS], [None] * 20),
    ],
)
def test_other_names_are_not(files, labels):
    assert notes_on_names(files, None, labels) == []


def test_a_column_that_holds_the_label_is_reported_by_an_audit_of_the_table(files, tiny, store):
    labels = ["cat", "dog"] * 6
    frame = pd.DataFrame({"photo": files, "scan": [f"{kind} {i}" for i, kind in enumerate(labels)], "size": range(12)})
    model = featx.tabular_pipeline(Ridge(), image="photo", encoder=tiny, cache=store)
    audited = featx.audit(frame, labels, encoder=model, cv=2, verbose=0)
    assert "The column 'scan' holds the label in 100 % of the rows: leave it out." in audited.notes
    assert not any("names of" in note for note in audited.notes)
