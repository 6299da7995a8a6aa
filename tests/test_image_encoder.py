from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import (
    DeviceError,
    InputError,
    MissingDependencyError,
    ParameterError,
    StoreWarning,
    UnknownNameError,
    WeightsError,
)


@pytest.fixture
def encoder(tiny) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=False)


def relative_l2(a, b):
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


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
    check("ImageEncoder", featx.ImageEncoder())


# --- the rest of a transformer's contract, without a cache


def test_it_works_without_fit_and_fit_transform_is_the_same(encoder, crops):
    unfitted = encoder.transform(crops)
    assert unfitted.shape == (40, 8)
    assert unfitted.dtype == np.float32
    np.testing.assert_array_equal(clone(encoder).fit_transform(crops), unfitted)


def test_transform_is_idempotent_and_leaves_its_input_alone(encoder, crops):
    images = [crop.copy() for crop in crops[:5]]
    np.testing.assert_array_equal(encoder.transform(images), encoder.transform(images))
    for image, crop in zip(images, crops, strict=False):
        np.testing.assert_array_equal(image, crop)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_a_row_does_not_depend_on_the_others_nor_on_the_batch(tiny, crops, batch_size):
    whole = featx.ImageEncoder(tiny, cache=False).transform(crops)
    parts = featx.ImageEncoder(tiny, cache=False, batch_size=batch_size)
    assert relative_l2(parts.transform(crops[3:17]), whole[3:17]).max() <= 1e-5


def test_a_row_of_the_default_encoder_does_not_depend_on_the_batch(crops):
    whole = featx.ImageEncoder(cache=False).transform(crops[:9])
    alone = np.vstack([featx.ImageEncoder(cache=False, batch_size=1).transform([crop]) for crop in crops[:9]])
    assert relative_l2(alone, whole).max() <= 1e-5


def test_rows_come_in_the_order_of_the_images(encoder, crops):
    order = np.random.default_rng(0).permutation(len(crops))
    np.testing.assert_allclose(
        encoder.transform([crops[i] for i in order]), encoder.transform(crops)[order], rtol=1e-5, atol=1e-6
    )


def test_duplicates_get_the_same_row_and_are_encoded_once(encoder, crops, caplog):
    caplog.set_level("INFO", "featx")
    rows = encoder.transform([crops[0], crops[1], crops[0], crops[0]])
    np.testing.assert_array_equal(rows[[2, 3]], rows[[0, 0]])
    assert "rows=4 hits=2 encoded=2 failed=0" in caplog.text


def test_no_images_give_no_rows_of_the_right_length(encoder):
    assert encoder.transform([]).shape == (0, 8)
    assert featx.ImageEncoder(cache=False).transform(np.array([], dtype=object)).shape == (0, 1280)


def test_no_images_give_no_rows_at_an_inner_layer_either(tiny):
    assert featx.ImageEncoder(tiny, layers=["conv1", "logits"], cache=False).transform([]).shape == (0, 9)


# --- containers


def test_all_containers_and_sources_of_the_same_pixels_agree(encoder, crops):
    arrays = crops[:3]
    expected = encoder.transform(arrays)
    pngs = []
    for crop in arrays:
        file = io.BytesIO()
        Image.fromarray(crop).save(file, "PNG")
        pngs.append(file.getvalue())
    for images in (
        tuple(arrays),
        np.stack(arrays),
        [Image.fromarray(crop) for crop in arrays],
        pngs,
        np.array(pngs, dtype=object).reshape(-1, 1),
        pd.Series(pngs, name="photo"),
        pd.DataFrame({"photo": pngs}),
        pl.Series("photo", pngs),
        pl.DataFrame({"photo": pngs}),
    ):
        np.testing.assert_array_equal(encoder.transform(images), expected)


def test_paths_may_be_str_or_path(encoder, files):
    expected = encoder.transform(files)
    np.testing.assert_array_equal(encoder.transform([Path(file) for file in files]), expected)
    np.testing.assert_array_equal(encoder.transform(np.array(files)), expected)


# --- names and frames


def test_names_come_from_the_column(encoder, files):
    assert encoder.get_feature_names_out().tolist()[:2] == ["image_0", "image_1"]
    assert encoder.get_feature_names_out(["photo"])[7] == "photo_7"
    assert encoder.fit(pd.Series(files, name="cover")).get_feature_names_out()[0] == "cover_0"
    assert encoder.fit(pd.DataFrame({"back": files})).get_feature_names_out()[0] == "back_0"
    assert encoder.fit(files).get_feature_names_out()[0] == "image_0"


def test_names_of_the_default_encoder_are_padded_and_import_no_torch():
    code = """
import sys, featx
names = featx.ImageEncoder(cache=False).get_feature_names_out()
assert (names[0], names[-1], len(names)) == ("image_0000", "image_1279", 1280)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_columns_as_one_are_refused(encoder, files):
    with pytest.raises(InputError, match="one column"):
        encoder.transform(pd.DataFrame({"a": files, "b": files}))
    with pytest.raises(ParameterError, match="2 input_features"):
        encoder.get_feature_names_out(["a", "b"])


def test_pandas_output_keeps_the_index(encoder, files):
    series = pd.Series(files, index=[f"id{i}" for i in range(12)], name="photo")
    frame = encoder.set_output(transform="pandas").fit_transform(series)
    assert frame.index.equals(series.index)
    assert list(frame.columns) == [f"photo_{i}" for i in range(8)]
    frame = encoder.transform(series.to_frame())
    assert frame.index.equals(series.index)


def test_polars_output_is_polars(encoder, files):
    frame = encoder.set_output(transform="polars").fit_transform(pl.Series("photo", files))
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns[0] == "photo_0"
    assert frame.shape == (12, 8)


# --- in scikit-learn's machinery


@pytest.mark.parametrize("column", ["photo", ["photo"]])
def test_a_column_transformer_takes_it_beside_numbers(encoder, files, column):
    table = pd.DataFrame({"photo": files, "price": np.arange(12.0), "back": files[::-1]}, index=range(100, 112))
    transformer = make_column_transformer(
        (encoder, column), (clone(encoder), ["back"]), (StandardScaler(), ["price"]), verbose_feature_names_out=False
    ).set_output(transform="pandas")
    frame = transformer.fit_transform(table)
    assert frame.shape == (12, 17)
    assert [frame.columns[i] for i in (0, 8, 16)] == ["photo_0", "back_0", "price"]
    assert frame.index.equals(table.index)
    np.testing.assert_array_equal(frame.filter(like="photo"), frame.filter(like="back")[::-1])


def test_a_column_transformer_takes_polars(encoder, files):
    table = pl.DataFrame({"photo": files, "price": np.arange(12.0)})
    transformer = ColumnTransformer([("image", encoder, ["photo"]), ("number", StandardScaler(), ["price"])])
    frame = transformer.set_output(transform="polars").fit_transform(table)
    assert frame.columns[0] == "image__photo_0"


def test_a_feature_union_sets_two_layers_side_by_side(tiny, crops):
    union = FeatureUnion(
        [
            ("early", featx.ImageEncoder(tiny, layers="conv1", cache=False)),
            ("late", featx.ImageEncoder(tiny, cache=False)),
        ]
    )
    assert union.fit_transform(crops[:3]).shape == (3, 14)
    assert union.get_feature_names_out()[0] == "early__image_0"


def test_a_pipeline_cross_validates_and_searches_in_processes(tiny, files, tmp_path):
    y = np.arange(12) % 2
    model = make_pipeline(featx.ImageEncoder(tiny, cache=tmp_path / "store"), StandardScaler(), LogisticRegression())
    assert len(cross_validate(model, files, y, cv=3)["test_score"]) == 3
    grid = GridSearchCV(model, {"logisticregression__C": [0.1, 1], "imageencoder__batch_size": [4, 8]}, cv=3, n_jobs=2)
    grid.fit(pd.Series(files), y)
    assert grid.predict(files).shape == (12,)
    assert featx.EmbeddingStore(tmp_path / "store").info()["rows"].tolist() == [12]


def test_a_pipeline_is_fitted_as_soon_as_its_head_is(encoder, files):
    model = make_pipeline(encoder, LogisticRegression()).fit(files, np.arange(12) % 2)
    assert model[:-1].transform(files).shape == (12, 8)
    assert model[:-1].get_feature_names_out()[0] == "image_0"


def test_skrub_takes_it_for_single_columns(encoder, files):
    import skrub

    table = pd.DataFrame({"photo": files, "price": np.arange(12.0)})
    frame = skrub.ApplyToCols(encoder, cols=["photo"]).fit_transform(table)
    assert "photo_0" in frame.columns
    assert frame["price"].tolist() == table["price"].tolist()
    frame = skrub.TableVectorizer(specific_transformers=[(encoder, ["photo"])]).fit_transform(table)
    assert frame.shape == (12, 9)


def test_the_html_repr_loads_nothing():
    code = "import sys, featx; featx.image_pipeline()._repr_html_(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- pickling


def test_a_pickled_named_encoder_is_small_and_the_same(files, tmp_path):
    encoder = featx.ImageEncoder(cache=str(tmp_path / "store")).fit(files)
    expected = encoder.transform(files[:2])
    data = pickle.dumps(encoder)
    assert len(data) < 4096
    np.testing.assert_array_equal(pickle.loads(data).transform(files[:2]), expected)


def test_a_model_with_a_users_network_survives_joblib(tiny, files, tmp_path):
    model = make_pipeline(featx.ImageEncoder(tiny, cache=False), LogisticRegression())
    model.fit(files, np.arange(12) % 2)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(files), model.predict(files))


def test_an_encoder_for_a_gpu_loads_and_reads_its_rows_without_one(tiny, files, tmp_path):
    featx.ImageEncoder(tiny, cache=tmp_path).transform(files)
    there = pickle.loads(pickle.dumps(featx.ImageEncoder(tiny, cache=tmp_path, device="cuda:7")))
    assert there.transform(files).shape == (12, 8)
    assert there.set_params(device="auto").transform(files).shape == (12, 8)


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has the device that is asked for")
def test_a_device_that_is_not_there_raises_when_a_row_is_missing(tiny, files):
    with pytest.raises(DeviceError, match="cuda:7"):
        featx.ImageEncoder(tiny, cache=False, device="cuda:7").transform(files)


# --- layers


def test_several_layers_are_concatenated_and_kept_apart_in_the_store(tiny, crops, store):
    both = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], pooling="max", cache=store).transform(crops)
    assert both.shape == (40, 14)
    alone = featx.ImageEncoder(tiny, layers="conv2", pooling="max", cache=store).transform(crops)
    np.testing.assert_array_equal(both[:, 6:], alone)
    assert store.info()["rows"].tolist() == [40, 40]


def test_a_layer_that_is_known_already_is_not_stored_again(tiny, crops, store):
    featx.ImageEncoder(tiny, layers="conv1", cache=store).transform(crops[:10])
    mixed = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], cache=store).transform(crops)
    again = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], cache=store).transform(crops)
    np.testing.assert_array_equal(mixed, again)


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"encoder": "resnet5"}, UnknownNameError, "Did you mean 'resnet50'"),
        ({"encoder": "timm:nothing_like_it"}, UnknownNameError, "Unknown encoder"),
        ({"encoder": torch.nn.Linear(2, 2)}, ParameterError, "Encoder.from_module"),
        ({"encoder": 3}, ParameterError, "featx.list_encoders"),
        ({"weights": "IMAGENET1K_V7"}, UnknownNameError, "Unknown weights"),
        ({"weights": "nowhere/weights.pth"}, WeightsError, "cannot be read"),
        ({"layers": "bloks.2"}, UnknownNameError, "Did you mean 'blocks.2'"),
        ({"layers": []}, ParameterError, "layers"),
        ({"layers": ["blocks.2", "blocks.2"]}, ParameterError, "twice"),
        ({"layers": "blocks.2", "pooling": "maxx"}, UnknownNameError, "Did you mean 'max'"),
        ({"pooling": "avg"}, ParameterError, "without layers"),
        ({"preprocess": "crops"}, ParameterError, "preprocess"),
        ({"precision": None}, UnknownNameError, "Unknown precision None"),
        ({"decode": "quick"}, UnknownNameError, "Unknown decode 'quick'"),
        ({"device": ["cuda:0", "cpu"]}, ParameterError, "distinct CUDA devices"),
        ({"batch_size": 0}, ParameterError, "positive integer"),
        ({"precision": "float31"}, UnknownNameError, "Did you mean 'float32'"),
        ({"decode": "quick"}, UnknownNameError, "decode"),
        ({"runtime": "tourch"}, UnknownNameError, "Did you mean 'torch'"),
        ({"device": "gpu"}, UnknownNameError, "device"),
        ({"device": 0}, ParameterError, "device"),
        ({"batch_size": 0}, ParameterError, "batch_size=0"),
        ({"batch_size": 2.5}, ParameterError, "positive integer"),
        ({"n_jobs": 0}, ParameterError, "n_jobs"),
        ({"max_pixels": -1}, ParameterError, "max_pixels"),
        ({"verbose": None}, ParameterError, "verbose=None"),
        ({"on_error": "ignore"}, UnknownNameError, "on_error"),
        ({"on_missing": "drop"}, UnknownNameError, "on_missing"),
        ({"cache": 3}, ParameterError, "cache=3"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named_with_what_was_expected(parameters, error, message, photos):
    encoder = featx.ImageEncoder(**{"cache": False, **parameters})
    with pytest.raises(error, match=message):
        encoder.fit_transform(photos)


@pytest.mark.parametrize("n_jobs", [None, -1, 1, 3])
def test_the_number_of_decoding_threads_changes_nothing(tiny, files, n_jobs):
    expected = featx.ImageEncoder(tiny, cache=False).transform(files)
    np.testing.assert_array_equal(featx.ImageEncoder(tiny, cache=False, n_jobs=n_jobs).transform(files), expected)


# --- the cache


def test_cold_equals_warm_bit_for_bit(files, store):
    encoder = featx.ImageEncoder(cache=store)
    np.testing.assert_array_equal(encoder.transform(files), encoder.transform(files))


def test_the_default_cache_is_the_folder_in_the_environment(tiny, files, own_folders):
    featx.ImageEncoder(tiny).transform(files)
    assert len(list((own_folders / "embeddings").glob("*/*.safetensors"))) == 1


def test_content_is_found_again_under_another_name(tiny, files, store, tmp_path, caplog):
    featx.ImageEncoder(tiny, cache=store).transform(files)
    renamed = [Path(file).rename(tmp_path / f"renamed{i}.jpg") for i, file in enumerate(files)]
    caplog.set_level("INFO", "featx")
    featx.ImageEncoder(tiny, cache=store).transform(renamed)
    assert "hits=12 encoded=0" in caplog.text


def test_changed_content_under_the_same_name_is_encoded_anew(tiny, files, crops, store):
    encoder = featx.ImageEncoder(tiny, cache=store)
    before = encoder.transform(files[:1])
    Image.fromarray(crops[20]).save(files[0])
    assert not np.array_equal(encoder.transform(files[:1]), before)


def test_a_cache_that_cannot_be_written_warns_and_returns_all_the_same(tiny, files, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.warns(StoreWarning, match="could not be"):
        rows = featx.ImageEncoder(tiny, cache=blocked / "store").transform(files)
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files))


def test_a_damaged_segment_is_skipped_and_its_rows_encoded_again(tiny, files, tmp_path):
    rows = featx.ImageEncoder(tiny, cache=tmp_path / "store").transform(files)
    (segment,) = (tmp_path / "store").glob("*/*.safetensors")
    data = bytearray(segment.read_bytes())
    data[-40] ^= 1
    segment.write_bytes(data)
    with pytest.warns(StoreWarning, match="damaged"):
        again = featx.ImageEncoder(tiny, cache=featx.EmbeddingStore(tmp_path / "store")).transform(files)
    np.testing.assert_allclose(again, rows, rtol=1e-5, atol=1e-6)


def test_any_object_with_the_three_methods_is_a_cache(tiny, files):
    from contextlib import nullcontext

    class DictStore:
        def __init__(self):
            self.rows = {}

        def get_many(self, fingerprint, keys):
            found = np.array([(fingerprint, key.tobytes()) in self.rows for key in keys], bool)
            rows = [self.rows[fingerprint, key.tobytes()] for key in keys[found]]
            return found, np.array(rows, np.float32) if rows else np.empty((0, 0), np.float32)

        def put_many(self, fingerprint, keys, rows, meta):
            assert meta["encoder"]["name"] == "tiny0"
            assert meta["runtime"] == "openvino"
            self.rows.update({(fingerprint, key.tobytes()): row for key, row in zip(keys, rows, strict=True)})

        def lock(self, fingerprint):
            return nullcontext()

    cache = DictStore()
    encoder = featx.ImageEncoder(tiny, cache=cache)
    np.testing.assert_array_equal(encoder.transform(files), encoder.transform(files))
    assert len(cache.rows) == 12


# --- precision, decoding, devices


def test_a_reduced_precision_has_rows_of_its_own(tiny, crops, store):
    exact = featx.ImageEncoder(tiny, cache=store).transform(crops[:4])
    reduced = featx.ImageEncoder(tiny, cache=store, runtime="torch", device="cpu", precision="bfloat16")
    assert 1e-5 < np.abs(reduced.transform(crops[:4]) - exact).max() < 0.1
    assert store.info()["rows"].tolist() == [4, 4]


def test_runtimes_share_rows_in_float32_and_not_below(tiny):
    def fingerprint(**options):
        (spec,) = extraction_of(featx.ImageEncoder(tiny, device="cpu", **options)).specs
        return spec.fingerprint()

    assert fingerprint(runtime="torch") == fingerprint(runtime="openvino")
    assert fingerprint(runtime="torch", precision="bfloat16") != fingerprint(runtime="openvino", precision="bfloat16")


def test_a_precision_that_this_machine_lacks_is_no_matter_where_all_is_cached(tiny, crops, store):
    reduced = featx.ImageEncoder(tiny, cache=store, runtime="torch", device="cpu", precision="bfloat16")
    rows = reduced.transform(crops[:3])
    keys = np.array([list(featx.images.load(crop)[0]) for crop in crops[:3]], np.uint8)
    (half,) = extraction_of(featx.ImageEncoder(tiny, precision="float16", device="cuda:0")).specs
    store.put_many(half.fingerprint(), keys, rows, {})
    cached = featx.ImageEncoder(tiny, cache=store, precision="float16", device="cuda:0")
    np.testing.assert_array_equal(cached.transform(crops[:3]), rows)


def test_the_package_that_resizes_fast_is_asked_for_unless_all_is_cached(tiny, crops, store, monkeypatch):
    pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")
    fast = featx.ImageEncoder(tiny, cache=store, decode="fast")
    rows = fast.transform(crops[:3])
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    np.testing.assert_array_equal(fast.transform(crops[:3]), rows)
    with pytest.raises(MissingDependencyError, match=r"pip install 'featx\[fast\]'"):
        fast.transform(crops[3:5])
    with pytest.raises(MissingDependencyError, match=r"pip install 'featx\[fast\]'"):
        fast.set_params(cache=False).transform(crops[:3])


def test_fast_decoding_has_rows_of_its_own(tiny, photos, tmp_path, store):
    pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")
    path = tmp_path / "large.jpg"
    Image.fromarray(photos[0]).resize((1600, 1200)).save(path)
    exact = featx.ImageEncoder(tiny, cache=store).transform([path])
    fast = featx.ImageEncoder(tiny, cache=store, decode="fast").transform([path])
    assert 0 < np.abs(fast - exact).max() < 0.1
    assert store.info()["rows"].tolist() == [1, 1]


def test_one_image_has_all_processors_to_itself(tiny, crops, monkeypatch):
    from featx.runtimes._openvino import OpenVinoRuntime

    run, calls = OpenVinoRuntime.run, []

    def noting(self, batch, *, alone=False):
        calls.append((len(batch), alone))
        return run(self, batch, alone=alone)

    monkeypatch.setattr(OpenVinoRuntime, "run", noting)
    encoder = featx.ImageEncoder(tiny, cache=False, runtime="openvino", n_jobs=2)
    encoder.transform(crops[:1])
    encoder.transform(crops[:3])
    encoder.transform(crops[:9])
    assert calls[0] == (1, True)
    assert sorted(calls[1:3]) == [(1, False), (2, False)]
    assert sorted(calls[3:]) == [(1, False), (4, False), (4, False)]
