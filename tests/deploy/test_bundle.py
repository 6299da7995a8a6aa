"""A bundle's folder is read whole and sound, or refused by name; its graph and head compute what is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skops import io

import featx
from featx._manifest import digest_file, digest_manifest, write_manifest
from featx._version import __version__
from featx.deploy._bundle import (
    KIND,
    Bundle,
    Engine,
    as_tensor,
    few,
    foreign_types,
    head_input,
    load_head,
    plain,
    polish,
    read_bundle,
)
from featx.deploy._columns import UNKNOWN
from featx.deploy.export.heads import dump_head
from featx.exceptions import BundleError
from tests.networks import tiny_encoder

FILES = {"model.onnx": b"graph", "predictor/__init__.py": b"code", "README.md": b"# words"}


def write_anything(folder: Path, manifest: object) -> None:
    """Write a manifest with its right digest, whatever its content."""
    if isinstance(manifest, dict):
        manifest = {**manifest, "sha256": digest_manifest(manifest)}
    (folder / KIND.file).write_text(json.dumps(manifest, indent=2) + "\n")


def make(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {name: digest_file(folder / name) for name in FILES}
    write_anything(folder, {"format": KIND.format, "featx": "1.0", "classes": ["caf\u00e9", "b"], "files": files})
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return make(tmp_path / "bundle")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("bundles") / "bundle")


def test_a_sound_bundle_is_read_and_is_a_path(folder):
    bundle = read_bundle(str(folder))
    assert bundle.manifest["classes"] == ["café", "b"]
    assert Path(bundle) == folder


def test_a_folder_may_be_relative_or_begin_at_home(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert read_bundle("bundle").folder == read_bundle("~/bundle").folder == folder


@given(st.data(), st.sampled_from([KIND.file, KIND.file, *FILES]), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_refused_or_changes_nothing(shared, data, name, flip):
    sound = read_bundle(shared).manifest
    file = shared / name
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    file.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
    try:
        manifest = read_bundle(shared).manifest
    except BundleError:
        pass
    else:  # such as a space that became a tab
        assert name == KIND.file
        assert manifest == sound
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("name", [KIND.file, *FILES])
def test_a_file_that_is_missing_cut_short_or_a_folder_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3])
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=Path(name).name):
        read_bundle(folder)


def test_no_folder_a_file_and_another_folder_are_distinguished(tmp_path):
    with pytest.raises(BundleError, match="nowhere is not there"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("{}")
    with pytest.raises(BundleError, match="file is not there"):
        read_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"is not a bundle: it has no bundle\.json"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"not json", b"[]", b"3", b"null", b'"text"', b"[" * 100_000],
    ids=lambda text: repr(text[:10]),
)
def test_what_is_no_object_of_json_is_damaged(folder, text):
    (folder / KIND.file).write_bytes(text)
    with pytest.raises(BundleError, match=r"bundle\.json is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize("known", [None, 4, "2", [2], 0, 1])
def test_another_format_names_who_wrote_it_and_what_to_do(folder, known):
    write_anything(folder, {"format": known, "featx": "9.9"})
    advice = r"write it again with featx\.export_bundle of this featx" if known in (0, 1) else "upgrade featx"
    with pytest.raises(BundleError, match=rf"written by featx 9\.9\. Expected format 2 or 3: {advice}"):
        read_bundle(folder)


@pytest.mark.parametrize(("head", "absent"), [("onnx", "model.onnx"), ("sklearn", "head.skops")])
def test_a_manifest_that_does_not_list_the_graph_or_the_head_is_damaged(folder, head, absent):
    files = {} if head == "onnx" else {"model.onnx": digest_file(folder / "model.onnx")}
    write_anything(folder, {"format": KIND.format, "files": files, "head": head})
    with pytest.raises(BundleError, match=f"does not list {absent}"):
        read_bundle(folder)


@pytest.mark.parametrize("files", [None, [], "model.onnx", 3])
def test_a_manifest_that_lists_no_files_is_damaged(folder, files):
    write_anything(folder, {"format": KIND.format, "files": files})
    with pytest.raises(BundleError, match="lists no files"):
        read_bundle(folder)
    write_anything(folder, {"format": KIND.format})
    with pytest.raises(BundleError, match="lists no files"):
        read_bundle(folder)


@pytest.mark.parametrize("digest", [None, 3, "", [], "0" * 64])
def test_a_file_whose_digest_is_any_other_thing_is_damaged(folder, digest):
    write_anything(folder, {"format": KIND.format, "files": {"model.onnx": digest}})
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "predictor/../../secret", "..", "/dev/zero"])
def test_a_file_outside_is_not_even_opened(folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    write_anything(folder, {"format": KIND.format, "files": {name: digest_file(folder.parent / "secret")}})
    with pytest.raises(BundleError, match="which lies outside"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["", ".", "predictor", "model.onnx/more", "nul\0", "lone\ud800", "long" * 1000])
def test_a_name_that_is_no_file_is_refused(folder, name):
    write_anything(folder, {"format": KIND.format, "files": {name: "0"}})
    with pytest.raises(BundleError, match="Copy the bundle again"):
        read_bundle(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(folder):
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx is missing, or no file"):
        read_bundle(folder)


def test_links_are_followed_and_what_they_lead_to_is_checked(folder):
    elsewhere = folder.parent / "model.onnx"
    shutil.move(folder / "model.onnx", elsewhere)
    (folder / "model.onnx").symlink_to(elsewhere)
    assert read_bundle(folder).manifest["files"]
    elsewhere.write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        read_bundle(folder)
    elsewhere.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_bundle(folder)


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_manifest({"a": 1, "b": 2}) == digest_manifest({"b": 2, "sha256": "old", "a": 1})
    assert digest_manifest({"a": 1}) != digest_manifest({"a": 2})


def test_only_what_is_asked_for_is_computed(bundle):
    engine = Engine(bundle, n_threads=1)
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


def test_of_many_names_the_first_are_listed_and_how_many_there_are():
    assert few(["a", "b", "c"]) == "a, b, c"
    assert few(["a", "b", "c", "d"]) == "4 types and functions (a, b, c, ...)"


def test_a_graph_that_is_none_is_named(bundle, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run by ONNX Runtime"):
        Engine(Bundle(tmp_path, bundle.manifest), n_threads=1)


def test_a_function_that_scikit_learn_only_imports_is_foreign(tmp_path):
    # subprocess.check_output, under a name of scikit-learn's
    data = io.dumps(FunctionTransformer(subprocess.check_output, kw_args={"shell": True}))
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(tmp_path / "head.skops", "w") as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry).replace(b'"subprocess"', b'"sklearn.utils._testing"'))
    assert foreign_types(tmp_path / "head.skops") == ["sklearn.utils._testing.check_output"]
    with pytest.raises(BundleError, match="check_output"):
        load_head(tmp_path / "head.skops")


ARTIFACT = Path(__file__).parent.parent / "artifacts" / "bundle_v2"


def make_artifact(folder: Path) -> None:
    """How ``tests/artifacts/bundle_v2`` was made, by ``python -m tests.deploy.test_bundle``: without copied code."""
    encoder = featx.ImageEncoder(tiny_encoder(), cache=False, verbose=0)
    train = [np.full((32, 32, 3), shade, np.uint8) for shade in range(0, 240, 12)]
    model = make_pipeline(encoder, StandardScaler(), LogisticRegression(C=0.01)).fit(train, ["dark", "light"] * 10)
    manifest = featx.export_bundle(model, folder).manifest
    for path in folder.iterdir():
        if path.name != "model.onnx":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    content = {key: manifest[key] for key in manifest if key not in ("format", "featx", "files", "sha256")}
    write_manifest(folder, KIND, content, __version__)
    answers = {"label": model.predict(pictures()).tolist(), "probabilities": model.predict_proba(pictures()).tolist()}
    (folder / "expected.json").write_text(json.dumps(answers) + "\n")


def pictures() -> list[np.ndarray]:
    # The numbers of RandomState are frozen by numpy, those of newer generators are not.
    random = np.random.RandomState(0)
    return [random.randint(0, 256, (24 + 4 * i, 40, 3)).astype(np.uint8) for i in range(4)]


def test_a_bundle_of_format_2_still_answers_the_same():
    expected = json.loads((ARTIFACT / "expected.json").read_text())
    predictor = featx.Predictor(ARTIFACT)
    assert predictor.predict(pictures()).tolist() == expected["label"]
    np.testing.assert_allclose(predictor.predict_proba(pictures()), expected["probabilities"], atol=1e-4)
    assert sum(path.stat().st_size for path in ARTIFACT.iterdir()) < 100_000


def test_what_is_written_today_is_still_format_2(bundle):
    old, new = json.loads((ARTIFACT / KIND.file).read_text()), bundle.manifest
    assert new["format"] == old["format"] == 2
    assert new.keys() == old.keys() | {"card"}  # which an older reader does not look at
    # A column's own policies; to a reader that does not know them the strictest of all holds, which it knows.
    assert new["inputs"][0].keys() - old["inputs"][0].keys() == {"on_error", "on_missing"}
    assert new["inputs"][0].keys() > old["inputs"][0].keys()
    assert new["verified"].keys() == old["verified"].keys()


if __name__ == "__main__":
    from tests.deploy import test_bundle  # under its own name

    test_bundle.make_artifact(ARTIFACT)
