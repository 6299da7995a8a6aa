"""A saved model works on a machine that has nothing but its folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx._image_encoder import extraction_of
from featx._manifest import digest_manifest, read_manifest
from featx.exceptions import FeatxError, FeatxWarning, ModelError
from featx.persistence._format import KIND
from featx.text import TextEncoder
from tests.networks import tiny_encoder
from tests.text.models import TEXTS, copy_model, needs_model

ARTIFACT = Path(__file__).parent.parent / "artifacts" / "model_v2"
LABELS = ["china"] * 20 + ["flower"] * 20

ELSEWHERE = """
import json, socket, sys
import numpy as np

def refuse(*_, **__):
    raise OSError("there is no network")

socket.socket.connect = socket.getaddrinfo = refuse
import featx

model = featx.load(sys.argv[1])
native = [name for name in ("torch", "openvino") if name in sys.modules]
crops = list(np.load(sys.argv[2]))
print(json.dumps({"native": native, "labels": model.predict(crops).tolist()}))
"""


def make_artifact(folder: Path) -> None:
    """How ``tests/artifacts/model_v2`` was made, by ``python -m tests.persistence.test_load``."""
    images, labels = artifact_content()
    encoder = featx.ImageEncoder(tiny_encoder(), cache=False, verbose=0)
    model = Pipeline([("encoder", encoder), ("scaler", StandardScaler()), ("head", LogisticRegression(C=0.01))])
    featx.save(model.fit(images, labels), folder)


def artifact_content() -> tuple[list[np.ndarray], list[str]]:
    # The numbers of RandomState are frozen by numpy, those of newer generators are not.
    rng = np.random.RandomState(20240601)
    images = [rng.randint(150 * (i % 2), 150 * (i % 2) + 100, (32, 32, 3)).astype(np.uint8) for i in range(20)]
    return images, ["dark", "light"] * 10


def predict_elsewhere(folder: Path, crops: list[np.ndarray], root: Path, empty: Path) -> dict:
    """Load in a process with an empty home, another working directory and no network."""
    (empty / "home").mkdir(parents=True)
    np.save(empty / "crops.npy", np.stack(crops))
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    arguments = [sys.executable, "-c", ELSEWHERE, str(folder), str(empty / "crops.npy")]
    environment = {**kept, "HOME": str(empty / "home"), "PYTHONPATH": str(root)}
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=environment, cwd=empty / "home", check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rewrite(folder: Path, **changes) -> None:
    """What another version, or somebody who computes digests, could have written."""
    manifest = {**json.loads((folder / KIND.file).read_text()), **changes}
    (folder / KIND.file).write_text(json.dumps({**manifest, "sha256": digest_manifest(manifest)}))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A small model's folder, to be damaged."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("small")
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    featx.save(make_pipeline(featx.ImageEncoder(tiny_encoder(), cache=False), LogisticRegression()), folder / "model")
    patch.undo()
    return folder / "model"


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "tiny"])
def test_another_machine_predicts_the_same_without_torch_or_network(encoder, tiny, crops, tmp_path, root):
    here = tmp_path / "here"
    here.mkdir()
    model = featx.image_pipeline(encoder=tiny if encoder == "tiny" else encoder, cache=here / "store")
    expected = model.fit(crops, LABELS).predict(crops).tolist()
    featx.save(model, here / "model")
    shutil.move(here / "model", tmp_path / "there")
    shutil.rmtree(here)
    answer = predict_elsewhere(tmp_path / "there", crops, root, tmp_path / "empty")
    assert answer == {"native": [], "labels": expected}


def nested(case: str, encoder: featx.ImageEncoder):
    pipeline = make_pipeline(encoder, StandardScaler(), LogisticRegression())
    return {
        "search": GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1]}, cv=2, scoring="f1_macro"),
        "encoders": GridSearchCV(pipeline, {"imageencoder__encoder": [encoder.encoder, tiny_encoder(1)]}, cv=2),
        "threshold": TunedThresholdClassifierCV(pipeline, cv=2),
        "calibrated": CalibratedClassifierCV(pipeline, cv=2),
        "union": make_pipeline(FeatureUnion([("a", encoder), ("b", encoder)]), LogisticRegression()),
    }[case]


@pytest.mark.parametrize("case", ["search", "encoders", "threshold", "calibrated", "union"])
def test_encoders_in_searches_unions_and_calibrations_come_along(case, tiny, crops, tmp_path, caplog):
    model = nested(case, featx.ImageEncoder(tiny)).fit(crops, LABELS)
    featx.save(model, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    caplog.set_level("INFO", "featx")
    np.testing.assert_array_equal(loaded.predict_proba(crops), model.predict_proba(crops))
    assert "encoded=0" in caplog.text
    assert "encoded=40" not in caplog.text  # the fingerprints are the same: the store stays warm
    np.testing.assert_array_equal(loaded.fit(crops, LABELS).predict(crops), model.predict(crops))


def test_a_table_with_an_image_column_comes_along(tiny, crops, tmp_path, files):
    table = pd.DataFrame({"photo": files, "price": np.arange(12.0)})
    columns = make_column_transformer((featx.ImageEncoder(tiny), "photo"), (StandardScaler(), ["price"]))
    model = make_pipeline(columns.set_output(transform="pandas"), LogisticRegression()).fit(table, [0, 1] * 6)
    featx.save(model, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
    assert list(loaded[0].transform(table)) == list(model[0].transform(table))


def test_an_unfitted_model_can_be_fitted_there(tiny, crops, tmp_path):
    model = featx.image_pipeline("svm", encoder=tiny)
    featx.save(model, tmp_path / "model")
    loaded = featx.load(tmp_path / "model").fit(crops, LABELS)
    np.testing.assert_array_equal(loaded.predict(crops), model.fit(crops, LABELS).predict(crops))


def test_no_file_of_it_holds_a_path_of_the_machine_that_saved_it(tiny, crops, tmp_path, root):
    encoder = featx.ImageEncoder(tiny, cache=tmp_path / "store")
    model = make_pipeline(encoder, LogisticRegression(), memory=str(tmp_path / "steps"))
    featx.save(model.fit(crops, LABELS), tmp_path / "model")
    content = b"".join(file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.is_file())
    for path in (tmp_path, root, Path.home(), Path(sys.prefix)):
        assert str(path).encode() + b"/" not in content


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_anywhere_is_refused_or_changes_nothing(small, data, own_folders):
    path = data.draw(st.sampled_from(sorted(file for file in small.rglob("*") if file.is_file())))
    sound, manifest = path.read_bytes(), read_manifest(small, KIND)
    i = data.draw(st.integers(0, len(sound) - 1))
    path.write_bytes(sound[:i] + bytes([sound[i] ^ data.draw(st.integers(1, 255))]) + sound[i + 1 :])
    try:
        if path.name != KIND.file:
            with pytest.raises(FeatxError, match=path.name):
                featx.load(small)
        else:
            found = "refused"
            with contextlib.suppress(ModelError):
                found = read_manifest(small, KIND)
            assert found in ("refused", manifest)  # the same after a space became a tab
    finally:
        path.write_bytes(sound)


def test_a_missing_file_is_named(small, tmp_path):
    shutil.copytree(small, tmp_path / "model")
    (graph,) = (tmp_path / "model" / "weights").iterdir()
    graph.unlink()
    with pytest.raises(ModelError, match=f"{graph.name} is missing"):
        featx.load(tmp_path / "model")


def test_an_encoders_file_must_be_one_that_was_checked(small, tmp_path):
    shutil.copytree(small, tmp_path / "model")
    manifest = json.loads((small / KIND.file).read_text())
    rewrite(tmp_path / "model", files={"model.skops": manifest["files"]["model.skops"]})
    with pytest.raises(ModelError, match=r"is none of those that .*model\.json lists"):
        featx.load(tmp_path / "model")
    rewrite(tmp_path / "model", files={})
    with pytest.raises(ModelError, match=r"lists no model\.skops"):
        featx.load(tmp_path / "model")


def test_another_scikit_learn_is_one_warning(small, tmp_path):
    shutil.copytree(small, tmp_path / "model")
    rewrite(tmp_path / "model", versions={"scikit-learn": "1.0.2"})
    with pytest.warns(FeatxWarning, match=r"saved with scikit-learn 1\.0\.2") as caught:
        featx.load(tmp_path / "model")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("saved", [{}, {"decode": "fast:1"}])
def test_pixels_that_were_others_when_a_model_was_saved_are_warned_of(saved, tmp_path):
    featx.save(make_pipeline(featx.ImageEncoder(tiny_encoder(), cache=False, decode="fast")), tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        featx.load(tmp_path / "model")
    (entry,) = json.loads((tmp_path / "model" / KIND.file).read_text())["encoders"]
    del entry["decode"]
    rewrite(tmp_path / "model", encoders=[entry | saved])
    with pytest.warns(featx.FeatxWarning, match="when decode='fast' gave other pixels"):
        featx.load(tmp_path / "model")


@pytest.mark.filterwarnings("ignore::featx.FeatxWarning")  # scikit-learn goes on
def test_format_version_2_still_loads_and_predicts(tmp_path):
    shutil.copytree(ARTIFACT, tmp_path / "model")
    images, labels = artifact_content()
    model = featx.load(tmp_path / "model")
    assert model.predict(images).tolist() == labels
    fingerprints = json.loads((ARTIFACT / KIND.file).read_text())["encoders"][0]["fingerprints"]
    assert list(extraction_of(model[0]).fingerprints()) == fingerprints
    assert sum(path.stat().st_size for path in ARTIFACT.rglob("*") if path.is_file()) < 100_000


def test_what_is_written_today_is_still_format_version_2(tmp_path):
    make_artifact(tmp_path / "model")
    old, new = (json.loads((folder / KIND.file).read_text()) for folder in (ARTIFACT, tmp_path / "model"))
    assert new.keys() == old.keys()
    assert new["format"] == old["format"] == 2
    assert [entry.keys() for entry in new["encoders"]] == [entry.keys() for entry in old["encoders"]]
    assert new["versions"].keys() >= {"python", "numpy", "scikit-learn", "skops"}
    assert new["files"].keys() == {
        path.relative_to(tmp_path / "model").as_posix()
        for path in (tmp_path / "model").rglob("*")
        if path.is_file() and path.name != KIND.file
    }


@pytest.mark.parametrize(
    ("version", "advice"), [(1, r"write it again with featx\.save of this featx"), (3, "upgrade featx")]
)
def test_a_folder_of_another_format_names_who_wrote_it_and_what_to_do(version, advice, small, tmp_path):
    shutil.copytree(small, tmp_path / "model")
    rewrite(tmp_path / "model", format=version, featx="0.1.0")
    with pytest.raises(ModelError, match=rf"model has format {version}, written by featx 0\.1\.0\..*2: {advice}"):
        featx.load(tmp_path / "model")


def test_a_folder_without_a_manifest_is_not_a_model(tmp_path):
    for nowhere in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=r"Expected a folder that featx\.save wrote"):
            featx.load(nowhere)


def test_a_tolerant_pipeline_comes_back(tiny, crops, tmp_path):
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0, on_error="nan", on_missing="nan")
    model.fit(crops[:20], [0, 1] * 10)
    featx.save(model, tmp_path / "model")
    assert featx.load(tmp_path / "model").predict(crops[:5]).tolist() == model.predict(crops[:5]).tolist()


@needs_model
def test_a_table_with_texts_predicts_the_same_where_its_text_model_is_not(tiny, files, tmp_path):
    table = pd.DataFrame({"photo": files, "title": [TEXTS[i % 6] for i in range(12)], "price": np.arange(12.0)})
    mine = copy_model(tmp_path / "mine")
    columns = make_column_transformer(
        (featx.ImageEncoder(tiny, cache=False, verbose=0), "photo"),
        (TextEncoder(mine, cache=False, verbose=0), "title"),
        (StandardScaler(), ["price"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, np.arange(12) % 2)
    expected = model.predict_proba(table)
    featx.save(model, tmp_path / "model")
    shutil.rmtree(mine)
    (tmp_path / "model").rename(tmp_path / "moved")
    again = featx.load(tmp_path / "moved")
    assert Path(again[0].transformers_[1][1].encoder).is_relative_to(tmp_path / "moved" / "weights")
    np.testing.assert_allclose(again.predict_proba(table), expected, rtol=1e-4, atol=1e-5)
    featx.save(again, tmp_path / "once more")
    assert len(featx.load(tmp_path / "once more").predict(table)) == 12


@needs_model
def test_a_text_model_must_be_one_that_was_checked(tmp_path):
    featx.save(TextEncoder(cache=False), tmp_path / "model")
    (kept,) = (tmp_path / "model" / "weights").iterdir()
    kept.rename(tmp_path / "elsewhere")
    manifest = json.loads((tmp_path / "model" / KIND.file).read_text())
    files = {name: digest for name, digest in manifest["files"].items() if not name.startswith("weights")}
    rewrite(tmp_path / "model", files=files)
    with pytest.raises(ModelError, match=r"lists no file of the text model 'weights/"):
        featx.load(tmp_path / "model")


if __name__ == "__main__":
    from tests.persistence import test_load  # under its own name

    test_load.make_artifact(ARTIFACT)
