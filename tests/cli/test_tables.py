from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx.cli import main
from tests.test_pipeline import photo_folder

pytest.importorskip("skrub")
SMALL = ["--encoder", "squeezenet1_1", "--weights", "random"]


@pytest.fixture
def table(crops, tmp_path, monkeypatch) -> pd.DataFrame:
    """Products of eight families: a photo below photos/, a weight, a color; a price that hangs on the weight."""
    monkeypatch.chdir(tmp_path)
    photo_folder(Path("photos"), crops, 24)
    paths = [Path(path).relative_to("photos").as_posix() for path in featx.read_image_folder("photos")["image"]]
    rng = np.random.default_rng(0)
    weight = rng.normal(size=24).round(3)
    frame = pd.DataFrame(
        {
            "photo": paths,
            "weight": weight,
            "color": rng.choice(["red", "blue"], 24),
            "family": np.repeat(list("abcdefgh"), 3),
            "price": np.exp(weight).round(2),
            "kind": [Path(path).parent.name for path in paths],
        }
    )
    frame.drop(columns="kind").to_csv("products.csv", index=False)
    frame.drop(columns="price").to_csv("kinds.csv", index=False)
    return frame


TRAIN = ["train", "products.csv", "-o", "model", "--image", "photo", "--target", "price", "--root", "photos", *SMALL]


def test_a_table_becomes_scores_and_a_model_that_predicts(table, capsys):
    assert main([*TRAIN, "--group", "family", "--log-target", "--cv", "3"]) == 0
    told = capsys.readouterr()
    assert told.err == "Model: model\n"
    lines = told.out.splitlines()
    assert lines[0] == "24 rows"
    assert lines[1].split() == ["images", "r2", "mae", "rmse", "seconds"]
    table.drop(columns=["price", "kind", "family"]).to_csv("new.csv", index=False)
    assert main(["predict", "model", "new.csv", "--root", "photos", "-o", "prices.csv"]) == 0
    found = pd.read_csv("prices.csv")
    assert found["image"].tolist() == [f"photos/{path}" for path in table["photo"]]
    model = featx.load("model")
    frame = table.drop(columns=["price", "kind"]).assign(photo="photos/" + table["photo"])
    np.testing.assert_allclose(found["label"], model.predict(frame), rtol=1e-6)
    assert model["features"].feature_names_in_.tolist() == ["photo", "weight", "color"]  # neither target nor group


def test_groups_are_never_on_both_sides(table, capsys, monkeypatch):
    import featx.evaluation._score_folds as training

    asked = {}
    original = training.cross_validate

    def noting(model, X, y, *, cv, **options):
        asked["folds"], asked["params"] = cv, options["params"]
        return original(model, X, y, cv=cv, **options)

    monkeypatch.setattr(training, "cross_validate", noting)
    assert main([*TRAIN, "--group", "family", "--cv", "4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["folds"]), document["labels"]) == (4, {})
    families = table["family"].to_numpy()
    assert all(not set(families[train]) & set(families[test]) for train, test in asked["folds"])
    assert asked["params"]["features__groups"].tolist() == families.tolist()


def test_classes_of_a_table_are_counted(table, capsys):
    command = ["train", "kinds.csv", "-o", "model", "--image", "photo", "--target", "kind", "--root", "photos", *SMALL]
    for head in ("logistic", "trees"):
        assert main([*command, "--cv", "2", "--head", head, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["labels"] == {"left": 12, "right": 12}
        assert document["folds"][0].keys() >= {"accuracy", "macro_f1"}
    assert main(["predict", "model", "kinds.csv", "--root", "photos", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["label"] for row in rows} <= {"left", "right"}
    assert all(0 <= row["probability"] <= 1 for row in rows)


@pytest.mark.filterwarnings("default")
def test_rows_whose_image_cannot_be_read_are_left_out_and_rows_without_one_are_not(table, capsys):
    frame = pd.read_csv("products.csv")
    frame.loc[0, "photo"] = "nowhere.jpg"
    frame.loc[1, "photo"] = None
    frame.loc[2, "price"] = None
    frame.to_csv("products.csv", index=False)
    assert main([*TRAIN, "--cv", "0", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Left out 1 rows without a label" in captured.err
    assert json.loads(captured.out)["bad_images"]["count"] == 1
    assert pd.read_csv("model-bad_images.csv")["image"].tolist() == ["photos/nowhere.jpg"]
    assert main(["predict", "model", "products.csv", "--root", "photos", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert (rows[0]["label"], rows[0]["error"]) == (None, "no such file")
    assert rows[1]["label"] is not None
    assert [row["error"] for row in rows[1:]] == [""] * 23
    frame.assign(photo="nowhere.jpg").to_csv("products.csv", index=False)
    assert main(["predict", "model", "products.csv", "--json"]) == 1
    assert [row["error"] for row in json.loads(capsys.readouterr().out)] == ["no such file"] * 24


def test_a_model_of_images_labels_the_images_of_a_table(table, capsys):
    assert main(["train", "photos", "-o", "model", "--cv", "0", *SMALL]) == 0
    capsys.readouterr()
    assert main(["predict", "model", "products.csv", "--image", "photo", "--root", "photos", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    paths = [f"photos/{path}" for path in table["photo"]]
    assert [row["image"] for row in rows] == paths
    assert [row["label"] for row in rows] == featx.load("model").predict(paths).tolist()


@pytest.mark.parametrize("name", ["products.csv.bz2", "products.TSV", "products.csv.xz", "products.parquet"])
def test_commands_take_every_name_that_a_table_may_have(name, table, capsys):
    assert main(["train", "photos", "-o", "model", "--cv", "0", *SMALL]) == 0
    write = table.to_parquet if name.endswith("parquet") else table.to_csv
    write(name, index=False, **({"sep": "\t"} if name.endswith("TSV") else {}))
    capsys.readouterr()
    assert main(["predict", "model", name, "--image", "photo", "--root", "photos", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(table)


def test_a_bundle_labels_the_rows_of_a_table(table, capsys):
    assert main([*TRAIN, "--cv", "0"]) == 0
    model = featx.load("model")
    frame = table.assign(photo="photos/" + table["photo"])
    featx.export_bundle(model, "bundle", sample=frame)
    capsys.readouterr()
    assert main(["predict", "bundle", "products.csv", "--root", "photos", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose([row["label"] for row in rows], model.predict(frame), rtol=1e-4)


def test_other_commands_take_the_images_and_groups_of_a_table(table, capsys, short_timings, monkeypatch):
    given = ["kinds.csv", "--image", "photo", "--target", "kind", "--root", "photos", "--group", "family"]
    groups = []

    def noting(name):
        function = getattr(featx, name)
        return lambda X, *rest, **options: groups.append((len(X), *options["groups"])) or function(X, *rest, **options)

    monkeypatch.setattr("featx.transfer.rank_encoders", noting("rank_encoders"))
    monkeypatch.setattr("featx.auditing.audit", noting("audit"))
    monkeypatch.setattr("featx.compare.transfer_report", noting("transfer_report"))
    for command, answer in (
        (["rank", *given, "--encoders", "efficientnet_lite0", "--cv", "2", "--json"], "ranking"),
        (["audit", *given, *SMALL, "--cv", "2", "--json"], "rows"),
        (["report", *given, *SMALL, "--cv", "3", "--json"], "summary"),
    ):
        assert main(command) in (0, 1)
        assert json.loads(capsys.readouterr().out)[answer]
    assert groups == [(24, *table["family"])] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "products.csv", "-o", "model"], "without --target"),
        (["train", "products.csv", "-o", "model", "--target", "prise", "--image", "photo"], "'price'"),
        (["train", "products.csv", "-o", "model", "--target", "price", "--image", "phot"], "'photo'"),
        (["train", "products.csv", "-o", "model", "--target", "price"], "Unknown column 'image'"),
        ([*TRAIN, "--head", "svm"], "Unknown head 'svm'"),
        ([*TRAIN, "--head", "logistic"], "numbers|classes|classifier"),
        ([*TRAIN, "--root", "nowhere"], "None of 24 images can be read"),
        (["train", "nothing.csv", *TRAIN[2:]], "None of 24 images can be read"),
        ([*TRAIN, "--group", "price"], "photo, price, price. Expected different columns"),
        ([*TRAIN, "--target", "photo"], "photo, photo. Expected different columns"),
        (["train", "photos", "-o", "model", "--target", "price"], "Got --target with photos, a folder"),
        (["train", "photos", "-o", "model", "--log-target"], "Got --log-target with photos"),
        (["rank", "products.csv"], "without --target"),
        (["train", "nowhere.csv", "-o", "model", "--target", "price"], "nowhere.csv, which is no file"),
    ],
)
def test_what_is_missing_or_wrong_is_named(arguments, message, table, capsys):
    nothing = pd.read_csv("products.csv").assign(photo=[f"nowhere/{i}.jpg" for i in range(24)])
    pd.concat([nothing, nothing[:1].assign(photo=None)]).to_csv("nothing.csv", index=False)  # one has none
    assert main(arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("model").exists()
