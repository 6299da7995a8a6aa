"""A table with photos as features: named, weighted, each photo encoded once, and clear where something is wrong."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.exceptions import ImageReadError, ImageWarning, InputError, MissingDependencyError, ParameterError
from tests.table.goods import make_goods


@pytest.fixture
def goods():
    return make_goods()


@pytest.fixture
def encoder(tiny, store) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=store, on_missing="nan", verbose=0)


def weighted(encoder, weight=1.0, **parameters) -> featx.TableEncoder:
    return featx.TableEncoder("photo", encoder=encoder, reduce=3, weight=weight, **parameters)


def test_columns_are_named_after_those_of_the_table(goods, encoder):
    features = weighted(encoder).fit(goods[0])
    names = features.get_feature_names_out().tolist()
    assert names == ["weight", "kind_bag", "kind_box", "kind_jar", "photo_0", "photo_1", "photo_2"]
    frame = features.set_output(transform="pandas").transform(goods[0])
    assert list(frame) == names
    assert frame.index.equals(goods[0].index)
    assert features.feature_names_in_.tolist() == ["photo", "weight", "kind"]


@pytest.mark.parametrize("weight", [0, 0.5, 4])
def test_a_photo_varies_as_much_as_its_weight_says(goods, encoder, weight):
    features = weighted(encoder, weight)
    rows = features.fit_transform(goods[0])[:, 4:]
    assert rows.var(axis=0).sum() == pytest.approx(weight**2)
    assert features.weights_ == {"photo": weight}


def test_a_weight_is_chosen_for_the_estimator(goods, encoder):
    frame, brightness = goods
    features = weighted(encoder, "auto", estimator=Ridge())
    assert features.fit(frame, brightness).weights_["photo"] > 0
    assert features.fit(frame, frame["weight"]).weights_ == {"photo": 0}


@pytest.mark.parametrize("target", ["numbers", "classes"])
def test_without_an_estimator_it_is_linear(goods, encoder, target):
    frame, brightness = goods
    y = brightness if target == "numbers" else np.where(brightness > 0.5, "bright", "dark")
    assert weighted(encoder, "auto").fit(frame, y).weights_["photo"] > 0


def test_fit_transform_is_fit_and_transform_and_encodes_each_photo_once(goods, encoder, store):
    frame, brightness = goods
    rows = weighted(encoder, "auto").fit_transform(frame, brightness)
    assert store.info()["rows"].tolist() == [len(frame)]
    again = weighted(encoder, "auto").fit(frame, brightness).transform(frame)
    np.testing.assert_allclose(rows, again, atol=1e-6)


def test_columns_may_come_in_any_order_and_others_beside_them(goods, encoder):
    frame = goods[0]
    features = weighted(encoder).fit(frame)
    other = frame.assign(extra=1)[["kind", "extra", "weight", "photo"]]
    np.testing.assert_array_equal(features.transform(other), features.transform(frame))


def test_a_column_of_nothing_is_left_out(goods, encoder):
    frame = goods[0]
    features = weighted(encoder).fit(frame.assign(nothing=None, never=np.nan))
    np.testing.assert_array_equal(features.transform(frame), weighted(encoder).fit_transform(frame))
    assert weighted(encoder).fit(frame[["photo"]].assign(nothing=None)).table_ is None


def test_polars_frames_give_the_same(goods, encoder, tmp_path):
    frame = goods[0]
    paths = [str(tmp_path / f"{i}.png") for i in range(len(frame))]
    for path, pixels in zip(paths, frame["photo"], strict=True):
        Image.fromarray(pixels).save(path)
    frame = frame.assign(photo=paths)
    pandas = weighted(encoder).fit_transform(frame)
    polars = weighted(encoder).fit_transform(pl.DataFrame({name: frame[name].tolist() for name in frame}))
    np.testing.assert_allclose(pandas, polars, atol=1e-6)


def test_a_missing_photo_is_the_mean_photo_and_a_column_says_so(goods, encoder):
    frame = goods[0].copy()
    frame.loc[[2, 5], "photo"] = None
    with pytest.warns(ImageWarning):
        features = weighted(encoder).fit(frame)
    assert features.get_feature_names_out()[-1] == "photo_missing"
    with pytest.warns(ImageWarning):
        rows = features.transform(frame)
    np.testing.assert_allclose(rows[[2, 5], -4:-1], 0, atol=1e-6)
    assert np.flatnonzero(rows[:, -1]).tolist() == [2, 5]


def test_a_photo_that_is_missing_later_only_is_the_mean_photo(goods, encoder):
    frame = goods[0]
    features = weighted(encoder).fit(frame)
    with pytest.warns(ImageWarning):
        rows = features.transform(frame.assign(photo=None))
    np.testing.assert_allclose(rows[:, -3:], 0, atol=1e-6)


def test_an_unreadable_photo_is_an_error_unless_asked(goods, encoder):
    frame = goods[0].copy()
    frame.at[4, "photo"] = b"no picture"
    with pytest.raises(ImageReadError, match="row 4"):
        weighted(encoder).fit(frame)
    with pytest.warns(ImageWarning):
        features = weighted(clone(encoder).set_params(on_error="nan")).fit(frame)
    assert features.get_feature_names_out()[-1] == "photo_missing"


def test_several_columns_of_photos_have_a_weight_each(goods, encoder):
    frame, brightness = goods
    frame = frame.assign(back=frame["photo"].to_numpy()[::-1])
    features = featx.TableEncoder(["photo", "back"], encoder=encoder, reduce=2, estimator=Ridge())
    features.fit(frame, brightness)
    assert features.weights_["photo"] > 0
    assert features.weights_["back"] == 0
    assert features.get_feature_names_out()[-4:].tolist() == ["photo_0", "photo_1", "back_0", "back_1"]


def test_a_table_may_have_nothing_but_photos(goods, encoder):
    frame, brightness = goods
    features = weighted(encoder, "auto", estimator=Ridge()).fit(frame[["photo"]], brightness)
    assert features.table_ is None
    assert features.weights_["photo"] > 0
    assert features.transform(frame[["photo"]]).shape == (len(frame), 3)


@pytest.mark.parametrize(
    ("reduce", "width"), [(2, 2), (100, 8), (None, 8), (StandardScaler(), 8), (PCA(2, random_state=0), 2)]
)
def test_the_embedding_is_reduced_as_asked(goods, encoder, reduce, width):
    frame, brightness = goods
    features = featx.TableEncoder("photo", encoder=encoder, reduce=reduce).fit(frame[["photo"]], brightness)
    assert features.transform(frame[["photo"]]).shape[1] == width


def test_few_rows_have_fewer_components(goods, encoder):
    frame, brightness = goods
    features = featx.TableEncoder("photo", encoder=encoder).fit(frame[:4], brightness[:4])
    assert features.images_["photo"]["features"].output_indices_["embedding"] == slice(0, 3)


def test_photos_that_are_all_alike_are_worth_nothing(goods, encoder):
    frame, brightness = goods
    frame = frame.assign(photo=pd.Series([frame["photo"][0]] * len(frame), dtype=object))
    features = weighted(encoder, "auto").fit(frame, brightness)
    assert features.weights_ == {"photo": 0}
    assert np.isfinite(features.transform(frame)).all()


class Alike(TransformerMixin, BaseEstimator):
    """One embedding for every image, but for the last bit."""

    def __init__(self, value: float):
        self.value = value

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        rows = np.full((len(X), 8), self.value, dtype=np.float32)
        rows[::2, 0] = np.nextafter(rows[::2, 0], np.float32(1)) if self.value else 0
        return rows


def test_embeddings_without_variance_are_fitted_in_silence_and_worth_nothing(goods):
    frame, brightness = goods
    groups = np.repeat(range(5), len(frame) // 5 + 1)[: len(frame)]
    features = weighted(Alike(0.0), "auto").fit(frame, brightness, groups=groups)
    assert features.weights_ == {"photo": 0}


def test_rounding_is_no_variance(goods):
    frame, brightness = goods
    features = weighted(Alike(0.4)).fit(frame, brightness)
    assert np.abs(features.transform(frame)[:, -3:]).max() < 1e-6


class Hinting(TransformerMixin, BaseEstimator):
    """A supervised encoder that remembers what it was given."""

    def fit(self, X, y=None, groups=None):
        self.given_ = y, groups
        return self

    def fit_transform(self, X, y=None, groups=None):
        return self.fit(X, y, groups).transform(X)

    def transform(self, X):
        return np.array([[pixels.mean(), pixels.std()] for pixels in X["photo"]])


def test_a_supervised_encoder_is_given_y_and_groups(goods):
    frame, brightness = goods
    groups = np.arange(len(frame)) // 3
    features = featx.TableEncoder("photo", encoder=Hinting()).fit(frame, brightness, groups)
    y, given = features.images_["photo"]["encoder"].given_
    assert y is brightness
    assert given is groups
    assert features.weights_["photo"] > 0


class Remembering(PCA):
    """A reduction that counts the rows of each of its fits."""

    seen: list[int] = []  # noqa: RUF012 - of all clones

    def fit_transform(self, X, y=None):
        Remembering.seen.append(len(X))
        return super().fit_transform(X, y)


def test_the_reduction_is_fitted_again_in_each_fold_of_the_choice(goods, encoder):
    """With more dimensions than rows, components that a row helped to find show more than those of a new one."""
    frame, brightness = goods
    Remembering.seen = []
    reduce = Remembering(2, random_state=0)
    featx.TableEncoder("photo", encoder=encoder, reduce=reduce).fit(frame, brightness, np.arange(60) // 3)
    assert Remembering.seen == [60] + [48] * 5


def test_groups_may_be_given(goods, encoder):
    frame, brightness = goods
    groups = np.arange(len(frame)) // 3
    assert weighted(encoder, "auto").fit(frame, brightness, groups).weights_["photo"] > 0
    with pytest.raises(InputError, match="one group a row"):
        weighted(encoder, "auto").fit(frame, brightness, groups[:5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "picture"}, r"Expected also \['picture'\]"),
        ({"image": []}, r"Got image=\[\]"),
        ({"image": ["photo", "photo"]}, "different ones"),
        ({"image": 3}, "Got image=3"),
        ({"weight": "most"}, "Got weight='most'"),
        ({"weight": -1.0}, "weight"),
        ({"reduce": 0}, "reduce"),
        ({"encoder": "resnet18"}, "Got encoder='resnet18'"),
    ],
)
def test_wrong_parameters_are_named(goods, encoder, change, message):
    features = weighted(encoder).set_params(**change)
    with pytest.raises((ParameterError, InputError), match=message):
        features.fit(*goods)


def test_wrong_input_is_named(goods, encoder):
    frame, brightness = goods
    features = weighted(encoder, "auto")
    with pytest.raises(InputError, match="Got a list"):
        features.fit(list(frame["photo"]), brightness)
    with pytest.raises(ParameterError, match="no y"):
        features.fit(frame)
    with pytest.raises(InputError, match="rows 3"):
        features.fit(frame, np.where(np.arange(len(frame)) == 3, np.nan, brightness))
    with pytest.raises(InputError):
        features.fit(frame, brightness[:5])
    with pytest.raises(NotFittedError):
        features.transform(frame)
    with pytest.raises(InputError, match=r"Expected also \['weight'\]"):
        features.fit(frame, brightness).transform(frame[["photo", "kind"]])


def test_it_clones_and_says_what_it_needs(encoder):
    features = weighted(encoder, "auto")
    assert clone(features).get_params()["encoder__verbose"] == 0
    assert features.__sklearn_tags__().target_tags.required
    assert not weighted(encoder).__sklearn_tags__().target_tags.required


def test_without_skrub_the_error_names_the_extra(goods, encoder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skrub", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[table\]"):
        weighted(encoder).fit(goods[0])
    weighted(encoder, table=StandardScaler()).fit(goods[0][["photo", "weight"]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: pd.concat([frame, frame[["kind"]]], axis=1), r"several columns of one name: \['kind'\]"),
        (lambda frame: pd.concat([frame, frame[["photo"]]], axis=1), r"several columns of one name: \['photo'\]"),
        (lambda frame: frame[:0], "a table of no rows"),
        (lambda frame: pa.table({"photo": ["a.jpg"], "weight": [1]}), r"^Got a Table.*pass X.to_pandas\(\)"),
        (lambda frame: pl.DataFrame({"photo": ["a.jpg"]}).lazy(), r"^Got a LazyFrame.*pass X.collect\(\)"),
        (lambda frame: frame.to_numpy(), "^Got a ndarray"),
    ],
)
def test_other_tables_are_refused_with_what_to_do(change, message, goods, encoder):
    frame, brightness = goods
    with pytest.raises(InputError, match=message):
        weighted(encoder).fit(change(frame), brightness)


@pytest.mark.parametrize("classes", [False, True])
def test_the_name_of_a_column_is_no_target(classes, goods, encoder):
    frame, brightness = goods
    features = weighted(encoder, "auto", estimator=LogisticRegression() if classes else Ridge())
    with pytest.raises(InputError, match=r"Got y='weight'.*table\['weight'\]"):
        features.fit(frame, "weight")
    with pytest.raises(InputError, match=r"Got groups='kind'"):
        features.fit(frame, brightness > 0.5 if classes else brightness, groups="kind")


def test_features_of_one_name_are_refused_where_names_come_out(goods, encoder):
    frame = goods[0].rename(columns={"weight": "photo_1"})
    features = weighted(encoder).fit(frame)
    assert features.transform(frame).shape == (len(frame), 7)
    with pytest.raises(InputError, match=r"named as those of images are: \['photo_1'\]"):
        features.set_output(transform="pandas").transform(frame)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_few_rows_or_targets_that_are_mostly_one_number_are_weighed_in_silence(n, goods, encoder):
    frame, _ = goods
    targets = np.where(np.arange(len(frame)) == 1, 1.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = weighted(encoder, "auto").fit(frame[:n], targets[:n])
        assert np.isfinite(features.transform(frame)).all()
        weighted(encoder, "auto").fit(frame, targets)


@pytest.mark.parametrize("first", ["pandas", "polars"])
def test_what_was_fitted_on_one_library_takes_frames_of_the_other(first, goods, encoder, tmp_path):
    frame, _ = goods
    frame = frame.assign(photo=[_png(pixels) for pixels in frame["photo"]])
    frame.loc[3, "weight"] = np.nan
    other = pl.from_pandas(frame)
    first, second = (frame, other) if first == "pandas" else (other, frame)
    features = weighted(encoder).fit(first)
    np.testing.assert_allclose(features.transform(second), features.transform(first))
    featx.save(make_pipeline(features), tmp_path / "model")
    np.testing.assert_allclose(featx.load(tmp_path / "model").transform(second), features.transform(first), atol=1e-6)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Remembered(TransformerMixin, BaseEstimator):
    """Wide embeddings that a column of their numbers stands for; -1 is missing."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        rows = np.random.default_rng(0).normal(size=(len(X), 1280)).astype(np.float32)
        rows[X["photo"] < 0] = np.nan
        return rows


def test_rows_without_a_photo_are_one_to_what_is_fitted_on_them():
    """Trees would split between what differs by rounding, and a bundle's numbers round otherwise."""
    frame = pd.DataFrame({"photo": np.where(np.arange(200) % 7, 1, -1), "price": np.arange(200) % 5})
    rows = featx.TableEncoder("photo", encoder=Remembered(), weight=1.0).fit_transform(frame)
    assert len(np.unique(rows[frame["photo"] < 0, 1:], axis=0)) == 1
