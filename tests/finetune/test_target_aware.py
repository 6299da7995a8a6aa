from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.exceptions import InputError, ParameterError, StoreWarning
from featx.finetune import FineTuneClassifier, TargetAwareEncoder, small_encoder


@pytest.fixture(scope="module")
def network():
    return small_encoder(16, channels=4)


@pytest.fixture(scope="module")
def images():
    """48 images, of which every second one is brighter."""
    images = np.random.default_rng(0).integers(0, 200, (48, 16, 16), dtype=np.uint8)
    images[1::2] += 50
    return images


@pytest.fixture(scope="module")
def labels():
    return np.array(["dark", "bright"] * 24)


@pytest.fixture
def make(network, tmp_path):
    """Make a small TargetAwareEncoder, whose store is a folder of this test."""

    def make(*, cache=tmp_path / "store", policy="raise", encoder=network, **parameters):
        encoder = featx.ImageEncoder(encoder, cache=cache, on_error=policy, on_missing=policy, verbose=0, n_jobs=1)
        return TargetAwareEncoder(encoder, **{"reduce": 2, "cv": 3, "max_epochs": 2, "verbose": 0, **parameters})

    return make


@pytest.fixture
def tunings(monkeypatch):
    """Rows of each tuning that ran."""
    found = []
    fit = FineTuneClassifier._fit

    def counting(self, X, *arguments, **parameters):
        found.append(len(X))
        return fit(self, X, *arguments, **parameters)

    monkeypatch.setattr(FineTuneClassifier, "_fit", counting)
    return found


class TestFeatures:
    def test_training_rows_get_outputs_of_networks_that_have_not_seen_them(self, make, images, labels):
        cv = StratifiedKFold(3, shuffle=True, random_state=0)
        features = make(cv=cv).fit_transform(images, labels)
        for train, test in cv.split(images, labels):
            aware = make()
            tuner = FineTuneClassifier(aware.encoder, max_epochs=2, verbose=0).fit(images[train], labels[train])
            expected = tuner.head_.decision_function(tuner.transform(images[test]))
            np.testing.assert_allclose(features[test, 0], expected, rtol=1e-3, atol=1e-4)

    def test_new_rows_get_those_of_the_network_tuned_to_all(self, make, images, labels):
        aware = make().fit(images, labels)
        tuner = FineTuneClassifier(aware.encoder, max_epochs=2, verbose=0).fit(images, labels)
        expected = tuner.head_.decision_function(tuner.transform(images))
        np.testing.assert_allclose(aware.transform(images)[:, 0], expected, rtol=1e-3, atol=1e-4)

    def test_fit_and_transform_are_not_fit_transform(self, make, images, labels):
        aware = make()
        crossed = aware.fit_transform(images, labels)
        assert not np.allclose(crossed[:, 0], aware.transform(images)[:, 0], rtol=1e-2)
        np.testing.assert_allclose(crossed[:, 1:], aware.transform(images)[:, 1:], atol=1e-4)

    def test_beside_the_outputs_stand_the_principal_components_of_the_frozen_embedding(self, make, images, labels):
        from sklearn.decomposition import PCA

        aware = make(reduce=3)
        features = aware.fit_transform(images, labels)
        frozen = aware.encoder.transform(images)
        np.testing.assert_allclose(features[:, 1:], PCA(3).fit_transform(frozen), atol=1e-5)

    @pytest.mark.parametrize(
        ("y", "n_outputs", "task"),
        [
            (["dark", "bright"] * 24, 1, "classification"),
            (["a", "b", "c"] * 16, 3, "classification"),
            (np.linspace(0, 5, 48) ** 2, 1, "regression"),
            (np.random.default_rng(0).normal(size=(48, 2)), 2, "regression"),
        ],
        ids=["two classes", "three classes", "numbers", "several numbers"],
    )
    def test_classes_and_numbers_are_targets(self, make, images, y, n_outputs, task):
        aware = make(reduce=1)
        features = aware.fit_transform(images, y)
        assert features.shape == (48, n_outputs + 1)
        assert aware.transform(images[:5]).shape == (5, n_outputs + 1)
        assert features.dtype == np.float32
        assert aware.task_ == task
        assert (aware.classes_ is None) == (task == "regression")

    def test_predictions_of_numbers_are_in_deviations_of_y(self, make, images):
        y = images.mean(axis=(1, 2)) * 1000.0
        features = make(max_epochs=4).fit_transform(images, y)
        assert abs(features[:, 0].mean()) < 1
        assert np.corrcoef(features[:, 0], y)[0, 1] > 0.5

    def test_without_components_the_outputs_are_left(self, make, images, labels):
        aware = make(reduce=0)
        assert aware.fit_transform(images, labels).shape == (48, 1)
        assert aware.transform(images).shape == (48, 1)

    def test_a_rows_own_label_is_not_in_its_features(self, make, digits):
        """Of shuffled labels, cross-fitted outputs are right no more often than chance; those of `transform` are."""
        crossed, seen = [], []
        for seed in range(4):
            y = np.random.default_rng(seed).permutation(["a", "b"] * 24)
            aware = make(encoder=small_encoder(16), unfreeze="head", max_epochs=30, learning_rate=0.1, reduce=0)
            for found, features in (
                (crossed, aware.fit_transform(digits[0][:48], y)),
                (seen, aware.transform(digits[0][:48])),
            ):
                found.append(np.mean((features[:, 0] > 0) == (y == "b")))
        interval = 1.96 * np.sqrt(0.25 / (4 * 48))
        assert np.mean(crossed) < 0.5 + interval
        assert np.mean(seen) > 0.5 + interval

    @pytest.mark.filterwarnings("ignore:.*became NaN rows")
    def test_images_that_cannot_be_used_are_nan_rows(self, make, images, labels):
        some = [*images[:-1], None]
        aware = make(policy="nan")
        features = aware.fit_transform(some, labels)
        assert np.isnan(features[-1]).all()
        assert np.isfinite(features[:-1]).all()
        assert np.isnan(aware.transform([None])).all()

    def test_frozen_layers_that_cannot_be_cut_off_are_computed_twice(self, make, images, labels):
        encoder = featx.Encoder.from_module(Untraceable(), preprocess=featx.Preprocess(size=16))
        aware = make(encoder=encoder)
        assert aware.fit(images, labels).transform(images).shape == (48, 3)
        assert isinstance(aware.encoder_.encoder.module.prefix, torch.nn.Identity)


class TestCopiesAndGroups:
    def sides(self, monkeypatch):
        """Rows that each fold tests, as lists."""
        from featx.finetune._aware_fit import AwareFit

        found, divide = [], AwareFit._folds

        def folds(self):
            found.extend(test.tolist() for _, test in divide(self))
            return divide(self)

        monkeypatch.setattr(AwareFit, "_folds", folds)
        return found

    def test_copies_are_on_one_side(self, make, images, labels, monkeypatch):
        sides = self.sides(monkeypatch)
        make().fit_transform([*images, images[3], images[4]], [*labels, labels[3], labels[4]])
        side = {row: i for i, rows in enumerate(sides) for row in rows}
        assert side[48] == side[3]
        assert side[49] == side[4]

    def test_groups_are_on_one_side(self, make, images, labels, monkeypatch):
        sides = self.sides(monkeypatch)
        groups = np.repeat(np.arange(8), 6)
        make().fit_transform(images, labels, groups=groups)
        assert sorted(group for rows in sides for group in set(groups[rows])) == list(range(8))

    def test_a_pipeline_passes_groups_where_they_are_asked_for(self, make, images, labels, monkeypatch):
        sides = self.sides(monkeypatch)
        groups = np.repeat(np.arange(8), 6)
        with sklearn.config_context(enable_metadata_routing=True):
            aware = make().set_fit_request(groups=True, sample_weight=False)
            make_pipeline(aware, LogisticRegression()).fit(images, labels, groups=groups)
        assert sorted(group for rows in sides for group in set(groups[rows])) == list(range(8))

    def test_a_splitter_gets_them(self, make, images, labels):
        for groups in (np.repeat(np.arange(8), 6), np.arange(48)):
            features = make(cv=GroupKFold(4)).fit_transform(images, labels, groups=groups)
            assert np.isfinite(features).all()

    @pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
    def test_a_splitter_that_divides_a_group_is_refused(self, make, images, labels):
        with pytest.raises(InputError, match=r"8 groups .* on both sides of a fold. Expected an integer"):
            make(cv=KFold(3, shuffle=True, random_state=0)).fit_transform(
                images, labels, groups=np.repeat(np.arange(8), 6)
            )


class TestInScikitLearn:
    def test_a_pipeline_trains_on_cross_fitted_features(self, make, images, labels):
        aware = make()
        model = make_pipeline(aware, LogisticRegression()).fit(images, labels)
        head = LogisticRegression().fit(clone(aware).fit_transform(images, labels), labels)
        np.testing.assert_allclose(model[-1].coef_, head.coef_)

    def test_a_column_of_a_table_has_named_features(self, make, images, labels):
        table = pd.DataFrame({"photo": list(images), "price": np.arange(48.0)}, index=range(100, 148))
        columns = make_column_transformer(
            (make(), "photo"), (StandardScaler(), ["price"]), verbose_feature_names_out=False
        )
        features = columns.set_output(transform="pandas").fit_transform(table, labels)
        assert features.columns.tolist() == ["photo_0", "photo_1", "photo_2", "price"]
        assert features.index.tolist() == table.index.tolist()
        assert columns.transform(table).columns.tolist() == features.columns.tolist()

    def test_a_clone_is_not_fitted_and_finds_the_fit_again(self, make, images, labels, tunings):
        aware = make().fit(images, labels)
        again = clone(aware)
        assert not hasattr(again, "encoder_")
        np.testing.assert_array_equal(again.fit(images, labels).transform(images), aware.transform(images))
        assert tunings == [48]

    def test_a_pickle_transforms_alike(self, make, images, labels):
        aware = make(cache=False).fit(images, labels)
        again = pickle.loads(pickle.dumps(aware))
        np.testing.assert_array_equal(again.transform(images), aware.transform(images))

    def test_sample_weights_matter(self, make, images, labels):
        weight = np.where(np.arange(48) < 24, 1.0, 0.1)
        plain, weighted = (make().fit(images, labels, sample_weight=given) for given in (None, weight))
        assert not np.allclose(plain.transform(images)[:, 0], weighted.transform(images)[:, 0])


class TestKept:
    def test_a_fit_is_tuned_once_for_every_head(self, make, images, labels, tunings):
        for head in (LogisticRegression(), Ridge(), LogisticRegression(C=0.1)):
            y = (labels == "dark").astype(int)
            make_pipeline(make(task="classification"), head).fit(images, y)
        assert tunings == [48, 32, 32, 32]

    def test_a_fit_that_is_found_has_the_same_numbers(self, make, images, labels, tunings):
        first, second = make(), make()
        np.testing.assert_array_equal(first.fit_transform(images, labels), second.fit_transform(images, labels))
        n = len(tunings)
        np.testing.assert_array_equal(first.transform(images), second.transform(images))
        assert len(tunings) == n == 4
        assert second.encoder_.encoder.module is not None  # builds what the record describes, and compares it

    @pytest.mark.parametrize(
        "other",
        [{"max_epochs": 3}, {"reduce": 1}, {"learning_rate": 1e-3}, {"random_state": 1}, {"cv": 2}, {"unfreeze": 2}],
        ids=str,
    )
    def test_other_parameters_are_another_fit(self, make, images, labels, tunings, other):
        make().fit(images, labels)
        make(**other).fit(images, labels)
        assert len(tunings) == 2

    def test_other_labels_images_or_groups_are_another_fit(self, make, images, labels, tunings):
        make().fit(images, labels)
        make().fit(images, np.roll(labels, 1))
        make().fit(images, np.where(labels == "dark", "grey", labels))
        make().fit(images[::-1], labels)
        make().fit(images, labels, groups=np.repeat(np.arange(8), 6))
        assert len(tunings) == 5

    def test_without_a_cache_nothing_is_kept(self, make, images, labels, tunings):
        for _ in range(2):
            make(cache=False).fit(images, labels)
        assert tunings == [48, 48]

    def test_a_killed_fit_goes_on_after_its_last_fold(self, make, images, labels, tunings, monkeypatch):
        from featx.finetune._aware_fit import AwareFit

        tune, killed = AwareFit._tune_fold, []

        def until_the_third(self, train, test):
            if len(tunings) == 3 and not killed:
                killed.append(True)
                raise KeyboardInterrupt
            return tune(self, train, test)

        monkeypatch.setattr(AwareFit, "_tune_fold", until_the_third)
        with pytest.raises(KeyboardInterrupt):
            make().fit_transform(images, labels)
        make().fit_transform(images, labels)
        assert tunings == [48, 32, 32, 32]

    def test_a_damaged_file_is_noticed_and_tuned_again(self, make, images, labels, tunings, tmp_path):
        before = make().fit(images, labels).transform(images)
        (record,) = (tmp_path / "store").glob("*/record-network.safetensors")
        content = bytearray(record.read_bytes())
        content[-9] ^= 1
        record.write_bytes(content)
        damaged = make()
        with pytest.warns(StoreWarning, match="record-network.* is damaged: its content is not what was written"):
            damaged.fit(images, labels)
        assert tunings == [48, 48]
        np.testing.assert_allclose(damaged.transform(images), before, atol=1e-5)

    def test_processes_tune_once(self, network, images, labels, tmp_path):
        from joblib import Parallel, delayed

        network.save(tmp_path / "network.safetensors")
        found = Parallel(2)(delayed(fit_in_a_process)(network, images, labels, tmp_path / "store") for _ in range(2))
        assert sorted(found) == [0, 1]

    def test_the_store_counts_and_clears_fits(self, make, images, labels, tunings, tmp_path):
        aware = make().fit(images, labels)
        store = featx.EmbeddingStore(tmp_path / "store")
        fits = store.info().query("encoder == 'small16-aware'")
        assert fits["bytes"].iloc[0] > 1000
        assert store.verify()["segment"].str.startswith("record-").sum() == 1
        assert not store.verify()["error"].any()
        assert store.clear("small16-aware") > 1000
        assert "small16-aware" not in store.info()["encoder"].tolist()
        aware.fit(images, labels)
        assert len(tunings) == 2


class Untraceable(torch.nn.Module):
    """Its forward pass depends on its numbers."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Conv2d(4, 8, 3, 2)
        for parameter in self.parameters():
            parameter.data.normal_(0, 0.2, generator=generator)

    def forward(self, x):
        x = self.first(x).relu()
        x = x if x.mean() >= 0 else -x
        return self.second(x).relu().mean((2, 3))


def fit_in_a_process(network, images, labels, store):
    """Fit, and count the tunings."""
    from featx.finetune._aware_fit import AwareFit

    n, tune = [0], AwareFit._tune_all

    def counting(self):
        n[0] += 1
        return tune(self)

    AwareFit._tune_all = counting
    encoder = featx.ImageEncoder(network, cache=store, verbose=0, n_jobs=1)
    TargetAwareEncoder(encoder, reduce=2, max_epochs=2, verbose=0).fit(images, labels)
    return n[0]


class TestLeaving:
    @pytest.fixture
    def model(self, make, images, labels):
        return make_pipeline(make(), StandardScaler(), LogisticRegression()).fit(list(images), labels)

    def test_it_is_saved_as_the_encoder_that_it_became(self, model, images, tmp_path):
        featx.save(model, tmp_path / "model")
        loaded = featx.load(tmp_path / "model")
        assert isinstance(loaded[0], featx.ImageEncoder)
        np.testing.assert_allclose(loaded.predict_proba(list(images)), model.predict_proba(list(images)), atol=1e-5)

    def test_one_that_is_not_fitted_is_saved_as_it_is(self, model, images, labels, tmp_path):
        featx.save(clone(model), tmp_path / "model")
        loaded = featx.load(tmp_path / "model")
        assert isinstance(loaded[0], TargetAwareEncoder)
        assert loaded[0].get_params()["reduce"] == 2

    def test_it_is_exported(self, model, images, tmp_path):
        featx.export_bundle(model, tmp_path / "bundle")
        answers = featx.Predictor(tmp_path / "bundle").predict_proba(list(images))
        np.testing.assert_allclose(answers, model.predict_proba(list(images)), atol=1e-5)

    def test_a_search_over_a_table_is_saved_and_exported_too(self, make, images, labels, tmp_path):
        table = pd.DataFrame({"photo": list(images), "price": np.arange(48.0)})
        columns = make_column_transformer((make(), "photo"), (StandardScaler(), ["price"]))
        grid = {"logisticregression__C": [0.1, 1]}
        model = GridSearchCV(make_pipeline(columns, LogisticRegression()), grid, cv=2).fit(table, labels)
        featx.export_bundle(model, tmp_path / "bundle")
        answers = featx.Predictor(tmp_path / "bundle").predict_proba(table)
        np.testing.assert_allclose(answers, model.predict_proba(table), atol=1e-5)
        featx.save(model, tmp_path / "model")
        np.testing.assert_allclose(featx.load(tmp_path / "model").predict_proba(table), answers, atol=1e-5)

    @pytest.mark.filterwarnings("ignore:.*stays scikit-learn's")
    def test_one_that_is_not_fitted_is_no_second_encoder_of_an_export(self, make, images, labels, tmp_path):
        y = (labels == "bright").astype(int)
        tuned = TunedThresholdClassifierCV(make_pipeline(make(cv=2), LogisticRegression()), cv=2).fit(list(images), y)
        featx.export_bundle(tuned, tmp_path / "bundle")
        assert (
            featx.Predictor(tmp_path / "bundle").predict(list(images)).tolist() == tuned.predict(list(images)).tolist()
        )


class TestBadInput:
    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (None, "Got no y"),
            ([*["a", "b"] * 23, "a", None], "no label in rows 47"),
            ([*np.linspace(0, 1, 47), np.nan], "y with NaN or infinity in rows 47"),
            (["a"] * 48, "one class, 'a'"),
            (["a", "b"], "for 48 rows"),
            (["a"] * 47 + ["b"], "1 images of class 'b' for cv=3 folds"),
            (np.full((48, 2), 0.5), "one value"),
        ],
        ids=["none", "missing label", "NaN", "one class", "length", "rare class", "constant"],
    )
    def test_a_target_that_cannot_be_used_is_named(self, make, images, y, message):
        with pytest.raises(InputError, match=message):
            make().fit_transform(images, y)

    def test_a_class_in_a_single_group_is_named(self, make, images, labels):
        y = np.where(np.arange(48) < 6, "rare", labels)
        with pytest.raises(InputError, match="Got a class, 'rare', that is only in the test rows of fold"):
            make().fit_transform(images, y, groups=np.repeat(np.arange(8), 6))

    @pytest.mark.parametrize(
        ("groups", "message"),
        [([1, 2, 3], "groups of shape"), (np.zeros(48), "one group"), (np.arange(48) // 24, "2 groups for cv=3")],
        ids=["length", "one", "few"],
    )
    def test_groups_that_cannot_be_used_are_named(self, make, images, labels, groups, message):
        with pytest.raises(InputError, match=message):
            make().fit_transform(images, labels, groups=groups)

    def test_rows_without_a_group_form_their_own(self, make, images, labels):
        groups = [None, *np.repeat(np.arange(8), 6)[1:]]
        assert make().fit_transform(images, labels, groups=groups).shape == (48, 3)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"cv": 1}, "cv=1"),
            ({"cv": "many"}, "cv='many'"),
            ({"cv": [(np.arange(24), np.arange(24, 48))]}, "tests row 0 0 times"),
            ({"reduce": -1}, "reduce=-1"),
            ({"max_epochs": 0}, "max_epochs=0"),
            ({"unfreeze": 99}, "unfreeze=99"),
            ({"task": "ranking"}, "ranking"),
        ],
        ids=str,
    )
    def test_a_parameter_that_is_not_accepted_is_named(self, make, images, labels, parameters, message):
        with pytest.raises(ParameterError, match=message):
            make(**parameters).fit_transform(images, labels)

    def test_an_encoder_that_cannot_be_tuned_is_refused(self, images, labels):
        encoder = featx.ImageEncoder(layers="logits", cache=False, verbose=0)
        with pytest.raises(ParameterError, match="Expected an ImageEncoder with layers=None"):
            TargetAwareEncoder(encoder).fit(images, labels)

    def test_no_images_are_refused(self, make):
        with pytest.raises(InputError, match="Got no images"):
            make().fit([], [])

    def test_before_fit_there_is_nothing_to_transform(self, make, images):
        from sklearn.exceptions import NotFittedError

        with pytest.raises(NotFittedError):
            make().transform(images)
