from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

import featx
from featx import ImageEncoder, TextEncoder
from featx._column_encoder import ColumnEncoder
from featx.exceptions import ParameterError, UnknownNameError


class Lengths(ColumnEncoder):
    """The smallest encoder of a column: of `dim` numbers."""

    _content = "word"

    def __init__(self, dim=12, cache=True, on_missing="raise"):
        self.dim = dim
        self.cache = cache
        self.on_missing = on_missing

    def transform(self, X):
        return np.array([[len(word)] * self.dim for word in X], np.float32)

    def _count_outputs(self):
        return self.dim


@given(st.integers(1, 2000))
def test_the_outputs_names_sort_as_the_outputs_do(dim):
    names = Lengths(dim).get_feature_names_out().tolist()
    assert len(set(names)) == dim
    assert names == sorted(names)


def test_names_begin_with_the_columns_name_or_with_what_it_holds():
    encoder = Lengths()
    assert encoder.get_feature_names_out()[0] == "word_00"
    assert encoder.get_feature_names_out("title")[11] == "title_11"
    encoder._remember("body")
    assert encoder.get_feature_names_out()[0] == "body_00"
    encoder._remember(None)
    assert not hasattr(encoder, "feature_names_in_")
    with pytest.raises(ParameterError, match=r"2 input_features. Expected one: the name of the column of words"):
        encoder.get_feature_names_out(["a", "b"])


def test_frames_come_out_with_these_names():
    frame = Lengths(2).set_output(transform="pandas").transform(["a", "bb"])
    assert list(frame.columns) == ["word_0", "word_1"]


def test_a_cache_may_be_none_the_default_a_folder_or_a_store(tmp_path, own_folders, store):
    assert Lengths(cache=False)._store() is Lengths(cache=None)._store() is None
    assert Lengths()._store().location == own_folders / "embeddings"
    assert Lengths(cache=str(tmp_path))._store() is Lengths(cache=tmp_path)._store()
    assert Lengths(cache=store)._store() is clone(Lengths(cache=store))._store() is store
    with pytest.raises(ParameterError, match="cache=3"):
        Lengths(cache=3)._store()


def test_the_default_cache_follows_the_environment(tmp_path, monkeypatch):
    before = Lengths()._store()
    monkeypatch.setenv("FEATX_CACHE", str(tmp_path / "other"))
    assert Lengths()._store().location == tmp_path / "other" != before.location


def test_policies_are_checked():
    with pytest.raises(UnknownNameError, match="Unknown on_missing 'drop'"):
        Lengths(on_missing="drop")._check_policies("on_missing")


@pytest.mark.parametrize("encoder", [ImageEncoder, TextEncoder])
def test_counts_are_checked(encoder):
    for batch_size in (0, -1, 2.0, True, "3"):
        with pytest.raises(ParameterError, match=r"Got batch_size=.*Expected a positive integer"):
            encoder(batch_size=batch_size).fit([])
    encoder(batch_size=np.int64(3)).fit([])


def test_nan_is_tagged_as_allowed_where_the_policy_is_nan():
    assert not Lengths().__sklearn_tags__().input_tags.allow_nan
    assert Lengths(on_missing="nan").__sklearn_tags__().input_tags.allow_nan


def test_images_are_encoded_by_one():
    assert issubclass(featx.ImageEncoder, ColumnEncoder)
    assert featx.ImageEncoder._content == "image"
