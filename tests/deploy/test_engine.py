from __future__ import annotations

import subprocess
import zipfile
from io import BytesIO

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from skops import io

from featx.deploy._columns import UNKNOWN
from featx.deploy._engine import (
    Engine,
    as_tensor,
    few,
    foreign_types,
    head_input,
    load_head,
    plain,
    polish,
)
from featx.deploy.export._head import dump_head
from featx.exceptions import BundleError


def test_only_what_is_asked_for_is_computed(bundle):
    engine = Engine(bundle, threads=1)
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    outputs, broken = engine.run({"image": pixels}, {}, ["label", "embedding"])
    assert not broken.any()
    assert list(outputs) == ["label", "embedding"]
    assert outputs["label"].shape == (3,)
    assert outputs["embedding"].shape == (3, 8)


def test_outputs_have_scikit_learns_shapes():
    assert polish("label", np.array([[1.5], [2.5]], "float32"), "<f8").tolist() == [1.5, 2.5]
    assert polish("label", np.array(["a", "b"], object), "<U1").dtype == "<U1"
    assert polish("decision", np.array([[-1.0, 1.0]]), "<U1").tolist() == [1.0]
    assert polish("decision", np.array([[-1.0, 1.0, 0.0]]), "<U1").shape == (1, 3)
    assert polish("probabilities", np.array([[0.2, 0.8]]), "<U1").shape == (1, 2)


def test_a_head_alone_gets_an_array_and_one_of_several_columns_a_frame():
    embedding = np.ones((2, 3), np.float32)
    assert head_input(embedding, {}) is embedding
    frame = head_input(embedding, {"price": np.array([[1.0], [2.0]]), "colour": np.array([["a"], [None]], object)})
    assert frame.columns.tolist() == ["embedding_0", "embedding_1", "embedding_2", "price", "colour"]
    assert frame["price"].tolist() == [1.0, 2.0]
    assert frame["colour"].tolist() == ["a", None]  # and no NaN, which is another category


def test_values_become_tensors():
    assert as_tensor(np.array([[1.5]])).dtype == np.float32
    assert as_tensor(np.array([[3]])).dtype == np.int64
    assert as_tensor(np.array([["a"], [np.nan], [None], [""]], object)).tolist() == [["a"], ["nan"], ["None"], [""]]


def test_no_text_is_taken_for_a_missing_value():
    tensor = as_tensor(np.array([["nan"], ["None"]], object))
    assert tensor.tolist() == [[f"{UNKNOWN}nan"], [f"{UNKNOWN}None"]]


def test_dates_and_durations_are_text_where_json_wants_them_and_other_labels_stay():
    dates = np.array(["2024-01-01", "2024-01-01T12:30"], "datetime64[ns]")
    assert plain(dates) == ["2024-01-01", "2024-01-01T12:30"]
    assert plain(np.array([1, 36], "timedelta64[h]")) == ["1 hours", "36 hours"]
    assert plain(np.array([True, False])) == [True, False]


def test_a_head_of_scikit_learn_comes_back_as_it_was(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 4))
    head = LogisticRegression().fit(X, X[:, 0] > 0)
    dump_head(head, tmp_path / "head.skops")
    np.testing.assert_array_equal(load_head(tmp_path / "head.skops").predict_proba(X), head.predict_proba(X))


class Foreign(LogisticRegression):
    """An estimator of somebody's own."""


def test_a_head_with_foreign_types_is_not_loaded(tmp_path):
    io.dump(Foreign(), tmp_path / "head.skops")
    with pytest.raises(BundleError, match="Foreign"):
        load_head(tmp_path / "head.skops")


def test_of_many_names_the_first_are_told_and_how_many_there_are():
    assert few(["a", "b", "c"]) == "a, b, c"
    assert few(["a", "b", "c", "d"]) == "4 types and functions (a, b, c, ...)"


def test_a_graph_that_is_none_is_named(bundle, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run by ONNX Runtime"):
        Engine(type(bundle)(tmp_path, bundle.card), threads=1)


def test_a_function_that_scikit_learn_only_imports_is_foreign(tmp_path):
    # subprocess.check_output, under a name of scikit-learn's
    data = io.dumps(FunctionTransformer(subprocess.check_output, kw_args={"shell": True}))
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(tmp_path / "head.skops", "w") as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry).replace(b'"subprocess"', b'"sklearn.utils._testing"'))
    assert foreign_types(tmp_path / "head.skops") == ["sklearn.utils._testing.check_output"]
    with pytest.raises(BundleError, match="check_output"):
        load_head(tmp_path / "head.skops")
