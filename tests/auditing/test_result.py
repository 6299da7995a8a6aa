import numpy as np
import pytest

from featx import ImageEncoder
from featx.auditing import audit


@pytest.fixture
def audited(tiny, crops):
    images = [*crops, crops[0], None]
    labels = ["a", "b"] * 21
    return audit(images, labels, encoder=ImageEncoder(tiny, cache=False), verbose=0)


def test_the_summary_has_the_counts_and_the_rates(audited):
    text = repr(audited)
    assert "42 images" in text
    assert "1 unreadable" in text
    assert f"{audited.threshold:.4f}" in text
    assert "saved as JPEG" in text


def test_counts_agree_with_the_table(audited):
    counts, table = audited.counts, audited.table
    assert counts["unreadable"] == (~table["ok"]).sum() == 1
    assert counts["copies"] + counts["duplicate_groups"] == table["duplicate_group"].notna().sum()
    assert counts["label_issues"] == table["suggested_label"].notna().sum()


def test_clean_rows_are_readable_and_each_image_is_there_once(audited):
    clean = audited.clean()
    groups = audited.groups[clean.index]
    assert len(np.unique(groups)) == len(groups)
    assert audited.table.loc[clean.index, "ok"].all()
