"""A ranking encodes each image once, and its table is what the scores and the probe give."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import weightedtau
from sklearn.model_selection import KFold

import featx
from featx.evaluation import unit_of
from featx.exceptions import FeatxWarning, ImageReadError, ImageWarning, InputError, ParameterError, UnknownNameError
from featx.ranking import rank_encoders
from featx.ranking._rank import agreement, on_frontier, summarize
from featx.scores import knn_score, lda_score
from tests.networks import tiny_encoder

pytestmark = pytest.mark.usefixtures("short_timings")
POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def shades():
    """Sixty grey images whose brightness is their class, with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    return [np.clip(60 + 60 * c + rng.normal(0, 30, (32, 32)), 0, 255).astype(np.uint8) for c in y], y


def test_the_table_has_scores_and_costs(shades, tiny):
    images, y = shades
    table = rank_encoders(images, y, [tiny, "efficientnet_lite0"], cv=3)
    assert set(table["encoder"]) == set(table["name"]) == {tiny.name, "efficientnet_lite0"}
    assert table["probe"].is_monotonic_decreasing
    assert (table["probe_low"] <= table["probe"]).all()
    assert (table["probe"] <= table["probe_high"]).all()
    assert (table["images"] == 60).all()
    assert table["frontier"].any()
    assert table["seconds"].to_numpy() == pytest.approx(60 / table["images_per_second"].to_numpy())
    assert not table["download"].any()
    assert set(table.attrs["agreement"]) == {"knn", "logme", "hscore", "top1"}
    assert table["encoder"][0] in table.attrs["sentence"]


def test_a_second_ranking_encodes_nothing(shades, tiny, caplog):
    images, y = shades
    first = rank_encoders(images, y, [tiny], cv=3)
    with caplog.at_level("INFO", "featx"):
        second = rank_encoders(images, y, [tiny], cv=3)
    passes = [record.message for record in caplog.records if record.message.startswith("rows=")]
    assert passes
    assert all("encoded=0" in message for message in passes)
    pd.testing.assert_series_equal(first["probe"], second["probe"])


def test_all_layers_come_of_one_pass(shades, caplog):
    images, y = shades
    with caplog.at_level("INFO", "featx"):
        table = rank_encoders(
            images,
            y,
            [tiny_encoder()],
            layers=["feature", "conv1", "conv2"],
            pooling=["avg", "max"],
            scores=["knn"],
            cv=3,
        )
    assert len(table) == 5
    passes = [record.message for record in caplog.records if record.message.startswith("rows=")]
    assert len(passes) == 1
    assert "encoded=60" in passes[0]


def test_scores_are_those_of_the_embeddings(shades, tiny):
    images, y = shades
    table = rank_encoders(images, y, [tiny], scores=["knn"], cv=3)
    assert table["knn"][0] == pytest.approx(knn_score(featx.ImageEncoder(tiny).transform(images), y))
    assert "does not measure accuracy" in table.attrs["sentence"]


def test_source_classes_serve_where_the_encoder_has_them(shades):
    images, y = shades
    table = rank_encoders(images, y, ["efficientnet_lite0"], scores=["leep", "nce", "probe"], cv=3)
    assert (table[["leep", "nce"]] < 0).all(axis=None)


def test_numbers_are_ranked_by_r2(shades, tiny):
    images, y = shades
    table = rank_encoders(images, y + 0.5, [tiny], cv=3)
    assert {"logme", "probe"} <= set(table)
    assert "knn" not in table


def test_candidates_that_differ_in_preprocess_have_two_names(shades, tiny, caplog):
    images, y = shades
    encoders = [tiny, featx.ImageEncoder(tiny, preprocess=featx.Preprocess(size=32, fit="pad"))]
    with caplog.at_level("INFO", "featx"):
        table = rank_encoders(images, y, encoders, cv=3)
    padded = f"{tiny.name} preprocess=Preprocess(size=32, fit=pad)"
    assert set(table["name"]) == {f"{tiny.name} preprocess=default", padded}
    assert table.attrs["sentence"].startswith(f"{table['name'][0]}: ")
    (message,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("round=")]
    assert message == f"round=1 of=1 images=60 candidates: {tiny.name} preprocess=default, {padded}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_precisions_are_candidates(shades, tiny):
    pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
    images, y = shades
    table = rank_encoders(images, y, [tiny], precisions=["float32", "int8"], cv=3).set_index("precision")
    assert set(table["name"]) == {f"{tiny.name} precision=float32", f"{tiny.name} precision=int8"}
    assert set(table["encoder"]) == {tiny.name}
    assert (table["images_per_second"] > 0).all()
    alone = rank_encoders(images, y, [tiny], cv=3)
    assert table.loc["float32", "probe"] == alone.loc[0, "probe"]
    small = featx.quantize_encoder(tiny, images)
    assert table.loc["int8", "probe"] == rank_encoders(images, y, [small], cv=3).loc[0, "probe"]
    assert table.loc["int8", "logme"] != table.loc["float32", "logme"]


def test_a_precision_that_does_not_run_here_is_left_out_with_a_warning(shades, tiny):
    images, y = shades
    encoder = featx.ImageEncoder(tiny, device="cpu", runtime="torch")
    with pytest.warns(FeatxWarning, match="in float16 is left out of the ranking: Got precision='float16'") as caught:
        table = rank_encoders(images, y, [encoder], precisions=["float32", "float16", "bfloat16"], cv=3)
    assert set(table["precision"]) == {"float32", "bfloat16"}
    assert [w.filename for w in caught] == [__file__]
    with pytest.warns(FeatxWarning), pytest.raises(ParameterError, match="Expected one that runs here"):
        rank_encoders(images, y, [encoder], precisions="float16", cv=3)
    with pytest.warns(FeatxWarning, match="int8 has the network's feature alone"):
        table = rank_encoders(images, y, [encoder], layers="conv1", precisions=["float32", "int8"], cv=3)
    assert set(table["precision"]) == {"float32"}
    with pytest.raises(UnknownNameError, match="Did you mean 'int8'"):
        rank_encoders(images, y, [encoder], precisions="int9", cv=3)


@pytest.mark.parametrize("kind", [np.array, list, lambda y: y.astype(float), lambda y: pd.Series(y, dtype="Int64")])
def test_whole_numbers_are_predicted_with_one_warning(shades, tiny, kind):
    images, _ = shades
    kilojoules = np.array([image.mean() * 37 for image in images]).astype(int)
    with pytest.warns(FeatxWarning, match='Pass task="regression"') as caught:
        table = rank_encoders(images, kind(kilojoules), [tiny], cv=3)
    assert [w.filename for w in caught] == [__file__]
    assert "knn" not in table
    explicit = rank_encoders(images, kilojoules, [tiny], cv=3, task="regression")  # a warning would be an error
    assert explicit["probe"].tolist() == table["probe"].tolist()
    with pytest.raises(InputError, match=r'of class .* pass task="regression"'):
        rank_encoders(images, kilojoules, [tiny], cv=3, task="classification")


def test_differences_of_grams_are_in_grams(shades):
    images, _ = shades
    grams = np.array([image.mean() for image in images])
    encoders = [featx.ImageEncoder(tiny_encoder(), layers=["conv1"]), tiny_encoder(1), tiny_encoder(2)]
    table = rank_encoders(images, grams, encoders, scores=["probe"], scoring="neg_mean_absolute_error", cv=3)
    assert "points" not in table.attrs["sentence"]
    assert "neg_mean_absolute_error" in table.attrs["sentence"]


def test_neighbors_of_the_same_group_do_not_count(shades, tiny):
    images, _ = shades
    y, groups = np.arange(60) % 2, np.arange(60) % 20
    images = [images[group] for group in groups]
    table = rank_encoders(images, y, [tiny], scores=["knn", "lda"], groups=groups, cv=3)
    Z = featx.ImageEncoder(tiny).transform(images)
    assert table["knn"][0] == pytest.approx(knn_score(Z, y, groups=groups))
    assert table["lda"][0] == pytest.approx(lda_score(Z, y, groups=groups))


def test_a_budget_drops_candidates_that_cannot_win():
    rng = np.random.default_rng(0)
    y = np.arange(320) % 2
    images = [np.clip(90 + 60 * c + rng.normal(0, 20, (32, 32)), 0, 255).astype(np.uint8) for c in y]
    table = rank_encoders(images, y, [tiny_encoder()], layers=["feature", "conv1"], cv=3, budget="5min")
    assert table["images"][0] == 320
    assert set(table["images"]) <= {80, 160, 320}


def test_time_that_is_over_still_gives_a_table(shades, tiny):
    images, y = shades
    turned = [np.rot90(image, k).copy() for k in range(4) for image in images]
    table = rank_encoders(turned, np.tile(y, 4), [tiny], cv=3, budget=0.001)
    assert table["images"][0] < 240
    assert np.isfinite(table["probe"][0])


def test_a_users_folds_are_used_with_groups(shades, tiny):
    images, y = shades
    groups = np.arange(60) // 6
    table = rank_encoders(images, y, [tiny], groups=groups, cv=3)
    own = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    assert rank_encoders(images, y, [tiny], cv=iter(own))["probe_low"].notna().all()
    assert table["probe"].notna().all()


@pytest.mark.parametrize("regression", [False, True])
def test_copies_on_both_sides_of_a_fold_are_warned_of(shades, tiny, regression):
    images, y = shades
    images, y = images + images[:9], np.concatenate([y, y[:9]]) + 0.5 * regression
    folds = list(KFold(3, shuffle=True, random_state=0).split(images))
    options = {"encoders": [tiny], "layers": ["feature", "conv1"], "scores": ["probe"]}
    with pytest.warns(ImageWarning, match=r"groups of copies .* Pass groups=featx\.audit") as caught:
        rank_encoders(images, y, cv=folds, **options)
    assert [w.filename for w in caught] == [__file__]
    rank_encoders(images, y, cv=3, groups=[*range(60), *range(9)], **options)  # a warning would be an error


def test_bad_images_are_an_error_or_left_out(shades, tiny):
    images, y = shades
    images = [*images[:-1], b"no image"]
    with pytest.raises(ImageReadError, match="row 59"):
        rank_encoders(images, y, [tiny], cv=3)
    with pytest.warns(ImageWarning, match="1 of 60 images cannot be used and are left out") as caught:
        table = rank_encoders(images, y, [featx.ImageEncoder(tiny, on_error="nan")], cv=3)
    assert table["images"][0] == 59
    assert len([w for w in caught if "left out" in str(w.message)]) == 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 60, "one class"),
        (["a"] * 59 + ["b"], "1 images of class 'b' for cv=5"),
        ([None] + ["a", "b"] * 29 + ["a"], "no label in rows 0"),
        (["a", "b"], "for 60 rows"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_before_the_work(shades, tiny, y, message, caplog):
    with caplog.at_level("INFO", "featx"), pytest.raises(InputError, match=message):
        rank_encoders(shades[0], y, [tiny])
    assert not caplog.records


def test_one_layer_and_one_pooling_are_names(shades, tiny):
    names, lists = (
        rank_encoders(*shades, tiny, layers=layers, pooling=pooling, scores=scores, cv=3)
        for layers, pooling, scores in (("conv2", "max", "knn"), (["conv2"], ["max"], ["knn"]))
    )
    assert names[["layer", "pooling"]].to_numpy().tolist() == [["conv2", "max"]]
    assert names["knn"].tolist() == lists["knn"].tolist()


@pytest.mark.parametrize("parameter", ["layers", "pooling"])
def test_an_empty_list_of_names_is_refused(shades, tiny, parameter):
    with pytest.raises(ParameterError, match=rf"Got {parameter}=\[\]"):
        rank_encoders(*shades, [tiny], cv=3, **{parameter: []})


def test_an_unknown_layer_is_named(shades, tiny):
    with pytest.raises(UnknownNameError, match="layer"):
        rank_encoders(*shades, [tiny], layers=["nowhere"], cv=3)


def test_string_labels_and_categories_are_classes(shades, tiny):
    images, y = shades
    as_text = rank_encoders(images, np.array(["x", "y", "z"])[y], [tiny], cv=3)
    as_category = rank_encoders(images, pd.Series(list("xyz"), dtype="category").loc[y], [tiny], cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_text["probe"].tolist() == as_category["probe"].tolist()


@given(POINTS)
def test_every_candidate_is_on_the_frontier_or_beaten_by_one_that_is(points):
    score, rate = np.array(points, float).T
    there = on_frontier(score, rate)
    assert there.any()
    for i in np.flatnonzero(~there):
        assert any(score[j] >= score[i] and rate[j] >= rate[i] for j in np.flatnonzero(there))
    for i in np.flatnonzero(there):
        assert not ((score > score[i]) & (rate >= rate[i])).any()


def test_what_has_no_score_is_not_on_the_frontier():
    assert on_frontier(np.array([0.5, np.nan]), np.array([1.0, 9.0])).tolist() == [True, False]


def test_agreement_is_the_weighted_tau():
    table = pd.DataFrame({"probe": [0.9, 0.8, 0.7, 0.6], "knn": [4, 2, 3, 1], "top1": [75.0, np.nan, np.nan, 70.0]})
    taus = agreement(table, ["knn", "top1"], "probe")
    assert taus["knn"] == pytest.approx(weightedtau(table["knn"], table["probe"]).statistic)
    assert np.isnan(taus["top1"])


def test_agreement_is_one_for_the_same_order_and_minus_one_for_the_opposite():
    table = pd.DataFrame({"probe": [3.0, 2, 1], "same": [30.0, 20, 10], "opposite": [1.0, 2, 3], "flat": 1.0})
    taus = agreement(table, ["same", "opposite", "flat"], "probe")
    assert (taus["same"], taus["opposite"]) == (pytest.approx(1), pytest.approx(-1))
    assert np.isnan(taus["flat"])


def test_a_gain_is_reported_with_its_price():
    folds = [np.array([0.90, 0.91, 0.92]), np.array([0.80, 0.81, 0.82])]
    text = summarize(["big", "small"], folds, np.array([10.0, 38.0]), 0.5, unit_of("accuracy"))
    assert text == "big: +10.0 +- 0.0 points for 3.8x the time of small"


def test_a_gain_within_chance_is_called_so():
    folds = [np.array([0.90, 0.80, 0.90]), np.array([0.85, 0.84, 0.89])]
    assert "take the faster" in summarize(["big", "small"], folds, np.array([1.0, 2.0]), 0.5, unit_of("accuracy"))


def test_a_best_that_is_fastest_has_no_price():
    folds = [np.array([0.9, 0.9]), np.array([0.8, 0.8])]
    text = summarize(["a", "b"], folds, np.array([2.0, 1.0]), 0.5, unit_of("roc_auc"))
    assert text == "a: roc_auc 0.900, the best and the fastest of 2 candidates"


def test_grams_are_not_points():
    folds = [np.array([-4.0, -4.1, -4.2]), np.array([-6.0, -6.2, -6.1])]
    text = summarize(["big", "small"], folds, np.array([10.0, 38.0]), 0.5, unit_of("neg_mean_absolute_error"))
    unit = "neg_mean_absolute_error (higher is better: it is minus the error)"
    assert text == f"big: +2 +- 0.3928 {unit} for 3.8x the time of small"
