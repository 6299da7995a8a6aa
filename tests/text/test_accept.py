from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.exceptions import InputError
from featx.images import load
from featx.text._embed import as_texts, digest_texts

TEXTS = ["a", "b", "a"]


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object).reshape(-1, 1),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"text": TEXTS}),
    ],
    ids=lambda texts: f"{type(texts).__module__.partition('.')[0]} {type(texts).__name__}",
)
def test_all_containers_of_texts_are_taken(texts):
    assert list(as_texts(texts).sources) == TEXTS


def test_a_named_column_keeps_its_name_and_a_series_its_index():
    column = as_texts(pd.Series(TEXTS, index=["x", "y", "z"], name="title"))
    assert (column.name, column.label(1)) == ("title", "y")


def test_missing_rows_are_no_error_here():
    assert len(as_texts(["a", None, np.nan, pd.NA, ""])) == 5


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a red shirt", r"Got a single str\. .*Pass it in a list: \[text\]"),
        (b"a red shirt", r"Got a single bytes\. Expected a list"),
        (3, r"Got a int\. Expected a list"),
        (np.arange(3.0), r"shape \(3,\) and dtype float64\. Expected a list"),
        (np.zeros((2, 4, 4), np.uint8), r"shape \(2, 4, 4\).* of str"),
        (np.array([["a", "b"]]), r"shape \(1, 2\).*Expected a list, .* of str"),
        (pd.DataFrame({"title": ["a"], "body": ["b"]}), r"frame of 2 columns \(title, body\)\. Expected .* one column"),
        (["a", 5], r"Got 5 \(int\) in row 1\. Expected .* of str; None, NaN or '' where it is missing"),
        (pd.Series([1, 2]), r"Got 1 \(int\) in row 0"),
        (["a", b"b"], r"Got <1 bytes> \(bytes\) in row 1"),
        ([["a"]], r"Got \['a'\] \(list\) in row 0"),
    ],
    ids=str,
)
def test_what_is_no_column_of_texts_is_refused_with_what_is_expected(texts, message):
    with pytest.raises(InputError, match=message) as raised:
        as_texts(texts)
    assert "images" not in str(raised.value)


@given(st.lists(st.text()))
def test_digests_are_equal_where_the_texts_are_and_only_there(texts):
    digests = [digest.tobytes() for digest in digest_texts(texts)]
    assert len(digests) == len(texts)
    assert len(set(digests)) == len(set(texts))
    assert dict(zip(texts, digests, strict=True)) == {text: digests[i] for i, text in enumerate(texts)}


def test_the_digest_is_for_ever():
    assert digest_texts(["a red shirt"])[0].tobytes().hex() == "f4a0aaa21e162c157ac780117cf03711"


def test_a_text_is_no_file_of_the_same_bytes():
    image = b"P6\n1 1\n255\nABC"  # a whole PPM, of letters alone
    assert load(image)[0] != digest_texts([image.decode()])[0].tobytes()


def test_half_a_character_is_refused_with_a_way_to_mend_it():
    with pytest.raises(InputError, match=r"character 1 is half a character.*errors='replace'"):
        digest_texts(["a\ud800b"])
    assert len(digest_texts(["a\ud800b".encode(errors="replace").decode()])) == 1
