from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import featx
from featx.exceptions import InputError, ParameterError, UnknownNameError, WeightsError
from featx.text import TextEncoder
from tests.text.models import TEXTS, copy_model, needs_model


@pytest.fixture
def encoder(store) -> TextEncoder:
    return TextEncoder(cache=store, verbose=0)


# --- scikit-learn's own checks, those that need no numeric data


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_mixin_order,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
    ],
    ids=lambda check: check.__name__,
)
def test_it_passes_scikit_learns_data_free_checks(check):
    check("TextEncoder", TextEncoder())


# --- the rest of a transformer's contract


@needs_model
def test_it_works_without_fit_and_fit_transform_is_the_same(encoder):
    unfitted = encoder.transform(TEXTS)
    assert (unfitted.shape, unfitted.dtype) == ((6, 384), np.float32)
    np.testing.assert_array_equal(clone(encoder).fit_transform(TEXTS), unfitted)


@needs_model
def test_near_texts_have_near_embeddings_whatever_the_case(encoder):
    rows = encoder.transform(["a red shirt", "A RED SHIRT", "a crimson shirt", "the tax return of a company"])
    near = rows @ rows[0]
    assert near[1] == pytest.approx(1, abs=1e-5)
    assert near[2] > 0.6 > 0.2 > near[3]


@needs_model
def test_all_containers_of_the_same_texts_agree(encoder):
    expected = encoder.transform(TEXTS)
    for texts in (np.array(TEXTS), pd.Series(TEXTS), pd.DataFrame({"a": TEXTS}), pl.Series(TEXTS)):
        np.testing.assert_array_equal(encoder.transform(texts), expected)


@needs_model
def test_names_come_from_the_column(encoder):
    encoder.transform(TEXTS)
    assert encoder.get_feature_names_out().tolist()[::383] == ["text_000", "text_383"]
    assert encoder.fit(pd.Series(TEXTS, name="description")).get_feature_names_out()[7] == "description_007"
    assert encoder.fit(TEXTS).get_feature_names_out()[0] == "text_000"


@needs_model
def test_frames_come_out_named_and_indexed(encoder):
    series = pd.Series(TEXTS, index=list("abcdef"), name="title")
    frame = encoder.set_output(transform="pandas").fit_transform(series)
    assert frame.index.equals(series.index)
    assert frame.columns[0] == "title_000"
    frame = clone(encoder).set_output(transform="polars").fit_transform(pl.Series("title", TEXTS))
    assert isinstance(frame, pl.DataFrame)
    assert (frame.shape, frame.columns[-1]) == ((6, 384), "title_383")


@needs_model
def test_a_pickle_is_small_and_the_same_also_after_use(encoder, tmp_path):
    encoder.set_params(cache=tmp_path)
    rows = encoder.fit_transform(TEXTS)
    data = pickle.dumps(encoder)
    assert len(data) < 1024
    np.testing.assert_array_equal(pickle.loads(data).transform(TEXTS), rows)


@pytest.mark.parametrize("texts", ["a red shirt", np.arange(3.0), pd.DataFrame({"a": ["x"], "b": ["y"]}), [1, 2]])
def test_what_is_no_column_of_texts_is_refused_by_both_methods(encoder, texts):
    for method in (encoder.fit, encoder.transform):
        with pytest.raises(InputError, match=r"Expected a list, .* of str"):
            method(texts)


# --- parameters


@needs_model
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"encoder": 3}, ParameterError, "encoder=3"),
        ({"encoder": ""}, ParameterError, "encoder=''"),
        ({"encoder": Path("nowhere")}, WeightsError, "There is no folder"),
        ({"device": "gpu"}, UnknownNameError, "device"),
        ({"device": ["cuda:0", "cuda:1"]}, ParameterError, "Expected a str"),
        ({"batch_size": 0}, ParameterError, "positive integer"),
        ({"batch_size": None}, ParameterError, "positive integer"),
        ({"verbose": "yes"}, ParameterError, "verbose='yes'. Expected 1, or 0"),
        ({"on_missing": "drop"}, UnknownNameError, "on_missing"),
        ({"cache": 3}, ParameterError, "cache=3"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named_with_what_was_expected(parameters, error, message):
    with pytest.raises(error, match=message):
        TextEncoder(**{"cache": False, **parameters}).fit_transform(TEXTS)


@needs_model
def test_a_folder_of_ones_own_is_a_model_known_by_its_content(encoder, tmp_path):
    rows = encoder.transform(TEXTS)
    same = TextEncoder(copy_model(tmp_path / "same"), cache=encoder.cache, device="cuda:7", verbose=0)
    np.testing.assert_array_equal(same.transform(TEXTS), rows)
    other = copy_model(tmp_path / "other")
    (other / "sentence_bert_config.json").write_text('{"max_seq_length": 3, "do_lower_case": false}')
    assert np.abs(TextEncoder(str(other), cache=encoder.cache).transform(TEXTS) - rows).max() > 0.01
    assert sorted(encoder.cache.info()["encoder"]) == ["all-MiniLM-L6-v2", "other"]


# --- the cache

WARM = """
import sys
from featx.text import TextEncoder
encoder = TextEncoder(cache=sys.argv[1], verbose=0).set_output(transform="pandas")
frame = encoder.fit_transform(sys.argv[2:])
loaded = {"torch", "sentence_transformers", "transformers"} & {*sys.modules}
print(frame.shape, frame.columns[-1], sorted(loaded))
"""


@needs_model
def test_a_warm_run_in_another_process_loads_neither_torch_nor_sentence_transformers(root, tmp_path):
    TextEncoder(cache=tmp_path, verbose=0).transform(TEXTS)
    command = [sys.executable, "-c", WARM, str(tmp_path), *TEXTS[::-1]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.stdout == "(6, 384) text_383 []\n", done.stderr


@needs_model
def test_texts_and_images_share_a_store_and_never_mix(encoder, tiny, crops, store):
    words = encoder.transform(TEXTS)
    images = featx.ImageEncoder(tiny, cache=store).transform(crops[:4])
    assert sorted(store.info()["rows"]) == [4, 6]
    assert sorted(store.info()["encoder"]) == ["all-MiniLM-L6-v2", "tiny0"]
    np.testing.assert_array_equal(encoder.transform(TEXTS), words)
    np.testing.assert_array_equal(featx.ImageEncoder(tiny, cache=store).transform(crops[:4]), images)
    store.clear("all-MiniLM-L6-v2")
    assert store.info()["rows"].tolist() == [4]


# --- in scikit-learn's machinery


@needs_model
def test_images_texts_and_numbers_cross_validate_with_every_text_encoded_once(encoder, tiny, files, store, caplog):
    y = np.arange(12) % 2
    table = pd.DataFrame({"photo": files, "title": [TEXTS[i % 6] for i in range(12)], "price": np.arange(12.0)})
    features = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=store), "photo"), (encoder, "title"), (StandardScaler(), ["price"])
    )
    caplog.set_level("INFO", "featx")
    scores = cross_val_score(make_pipeline(features, LogisticRegression()), table, y, cv=3)
    assert np.isfinite(scores).all()
    encoded = [int(line.split("encoded=")[1].split()[0]) for line in caplog.messages if "encoded=" in line]
    assert sum(encoded) == 12 + 6
    frame = features.set_output(transform="pandas").fit_transform(table)
    assert frame.columns[[0, 8, -1]].tolist() == [
        "imageencoder__photo_0",
        "textencoder__title_000",
        "standardscaler__price",
    ]
    assert frame.shape == (12, 8 + 384 + 1)
