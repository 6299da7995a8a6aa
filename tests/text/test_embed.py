from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from featx.exceptions import FeatxWarning, InputError, NonFiniteEmbeddingError
from featx.text import read_spec
from featx.text._embed import Options, as_texts, embed, embedding_dim, encode
from tests.text.models import MODEL, TEXTS, needs_model

pytestmark = needs_model
CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def spec():
    return read_spec("mini", MODEL)


def test_each_row_is_its_texts_and_each_distinct_text_is_encoded_once(spec, caplog):
    caplog.set_level("INFO", "featx")
    rows = embed(as_texts([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[0]]), spec, None, CPU)
    np.testing.assert_allclose(rows[:2], encode(spec, TEXTS[:2], "cpu"), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(rows[[2, 3]], rows[[0, 0]])
    assert "rows=4 hits=2 encoded=2 failed=0" in caplog.text


def test_what_the_store_knows_is_not_encoded(spec, store, caplog):
    cold = embed(as_texts(TEXTS[:3]), spec, store, CPU)
    caplog.set_level("INFO", "featx")
    warm = embed(as_texts(TEXTS[::-1]), spec, store, CPU)
    np.testing.assert_array_equal(warm[::-1][:3], cold)
    assert "rows=6 hits=3 encoded=3 failed=0" in caplog.text
    assert store.info()["rows"].tolist() == [6]
    assert store.info()["encoder"].tolist() == ["mini"]


def test_texts_that_differ_in_a_letters_case_or_in_a_space_are_kept_apart(spec, store):
    embed(as_texts(["a shirt", "A shirt", "a shirt ", "a  shirt"]), spec, store, CPU)
    assert store.info()["rows"].tolist() == [4]


def test_missing_texts_are_an_error_before_any_is_encoded(spec, store):
    column = as_texts(pd.Series([TEXTS[0], None, np.nan, ""], index=list("wxyz"), dtype=object))
    with pytest.raises(InputError, match="3 of 4 texts are missing") as raised:
        embed(column, spec, store, CPU)
    for part in ("row 1: None: missing", "row 2: nan: missing", "row 3: '': missing", 'on_missing="nan"'):
        assert part in str(raised.value)
    assert store.info().empty


def test_missing_texts_become_nan_rows_and_one_warning(spec, store):
    options = Options(device="cpu", on_missing="nan")
    with pytest.warns(FeatxWarning, match="2 of 4 texts became NaN rows") as warned:
        rows = embed(as_texts([None, TEXTS[0], "", TEXTS[1]]), spec, store, options)
    assert len(warned) == 1
    assert np.isnan(rows).all(axis=1).tolist() == [True, False, True, False]
    np.testing.assert_allclose(rows[[1, 3]], encode(spec, TEXTS[:2], "cpu"), rtol=1e-4, atol=1e-6)
    with pytest.warns(FeatxWarning, match="1 of 1"):
        assert np.isnan(embed(as_texts([None]), spec, None, options)).sum() == 384


def test_numbers_that_are_none_are_an_error_and_the_other_rows_are_stored(spec, store, monkeypatch):
    def overflowing(spec, texts, *given):
        rows = np.ones((len(texts), 384), np.float32)
        rows[[text == TEXTS[1] for text in texts]] = np.inf
        return rows

    monkeypatch.setattr("featx.text._embed.encode", overflowing)
    with pytest.raises(NonFiniteEmbeddingError, match="'mini' gives NaN or infinite numbers for 2 of 4 rows") as raised:
        embed(as_texts([TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[1]]), spec, store, CPU)
    assert raised.value.table["position"].tolist() == [1, 3]
    assert store.info()["rows"].tolist() == [2]


def test_no_texts_give_no_rows_of_the_right_length(spec):
    assert embed(as_texts([]), spec, None, CPU).shape == (0, 384)


def test_the_length_of_an_embedding_is_told_by_the_store_without_the_model(spec, store):
    elsewhere = Options(device="cuda:99")
    embed(as_texts(TEXTS[:1]), spec, store, CPU)
    assert embedding_dim(spec, store, elsewhere) == 384
    assert embedding_dim(spec, None, CPU) == 384
