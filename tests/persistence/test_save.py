"""A model's folder is written whole, with all that another machine needs, or not at all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import __main__
import featx
from featx._image_encoder import extraction_of
from featx._rebuild import rebuild
from featx.encoders import GraphEncoder, Weights, _efficientnet_lite, _registry, _timm, hash_file, published_weights
from featx.encoders._registry import get_architecture
from featx.encoders._weights import read_state_dict
from featx.exceptions import ConversionError, MissingDependencyError, ModelError, ParameterError, WeightsError
from featx.persistence._format import keep_published, place_published
from featx.persistence._save_load import _Packer
from featx.text import TextEncoder, spec_of
from tests.networks import TINY, Unconvertible, make_tiny, tiny_encoder
from tests.text.models import copy_model, needs_model

KILLED = """
import os, signal, sys, featx
from featx.persistence import _save_load
from tests.networks import tiny_encoder

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(_save_load, sys.argv[1], die)
featx.save(featx.ImageEncoder(tiny_encoder()), sys.argv[2])
"""


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_model_is_one_folder(tmp_path):
    featx.save(LogisticRegression(), tmp_path / "model")
    assert names(tmp_path) == ["model", "model/model.json", "model/model.skops"]


def test_a_model_that_was_saved_there_is_replaced_with_its_files(tiny, tmp_path):
    featx.save(featx.ImageEncoder(tiny), tmp_path / "model")
    featx.save(LogisticRegression(C=3), str(tmp_path / "model"))
    assert names(tmp_path) == ["model", "model/model.json", "model/model.skops"]
    assert featx.load(tmp_path / "model").C == 3


def test_a_model_may_be_saved_to_where_it_was_loaded_from(tiny, tmp_path, crops):
    featx.save(featx.ImageEncoder(tiny), tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    featx.save(loaded.set_params(batch_size=2), tmp_path / "model")
    again = featx.load(tmp_path / "model")
    assert again.batch_size == 2
    assert again.set_params(cache=False).transform(crops[:1]).shape == (1, 8)


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for _ in range(2):
        featx.save(LogisticRegression(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "model.json").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(ModelError, match="holds something else"):
        featx.save(LogisticRegression(), tmp_path / "photos")
    with pytest.raises(ModelError, match="which is a file"):
        featx.save(LogisticRegression(), tmp_path / "photos" / "a.jpg")
    assert names(tmp_path) == ["photos", "photos/a.jpg"]


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"there is no folder .*nowhere\. Make it first"):
        featx.save(LogisticRegression(), tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("model", [LogisticRegression, "model", None], ids=str)
def test_only_an_estimator_is_a_model(model, tmp_path):
    with pytest.raises(ParameterError, match="Expected a scikit-learn estimator"):
        featx.save(model, tmp_path / "model")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("during", ["rebuild", "dump", "write_manifest"])
@pytest.mark.parametrize("before", [None, 7])
def test_a_process_that_is_killed_leaves_nothing_that_loads_and_the_model_of_before(during, before, tmp_path, root):
    if before is not None:
        featx.save(LogisticRegression(C=before), tmp_path / "model")
    arguments = [sys.executable, "-c", KILLED, during, str(tmp_path / "model")]
    done = subprocess.run(arguments, check=False, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    left = [folder for folder in tmp_path.iterdir() if folder.name != "model"]
    assert len(left) == 1
    with pytest.raises(ModelError):
        featx.load(left[0])
    if before is None:
        assert not (tmp_path / "model").exists()
    else:
        assert before == featx.load(tmp_path / "model").C


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
@pytest.mark.parametrize("at", [1, 2])
def test_an_interruption_at_the_last_step_restores_the_model_of_before(error, at, tmp_path, monkeypatch):
    featx.save(LogisticRegression(C=7), tmp_path / "model")
    rename, calls = Path.rename, []

    def failing(path, target):
        calls.append(path)
        if len(calls) == at:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ModelError if error is PermissionError else error):
        featx.save(LogisticRegression(C=1), tmp_path / "model")
    assert featx.load(tmp_path / "model").C == 7
    assert os.listdir(tmp_path) == ["model"]


NETWORK = "squeezenet1_1"


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    """A state dict of a registered architecture, as a file."""
    path = tmp_path_factory.mktemp("state") / "mine.pth"
    torch.save(get_architecture(NETWORK).build(224).state_dict(), path)
    return path


def pack(model, folder: Path):
    packer = _Packer(model, folder)
    return rebuild(model, packer), packer


def travel(model, folder: Path):
    """Save, move, load."""
    featx.save(model, folder / "model")
    (folder / "model").rename(folder / "moved")
    return featx.load(folder / "moved")


def fingerprint(encoder: featx.ImageEncoder) -> str:
    return extraction_of(encoder).spec.fingerprint()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_weights_file_comes_along_and_stays_the_same_encoder(suffix, state, tmp_path):
    own = tmp_path / f"own{suffix}"
    if suffix == ".pth":
        shutil.copy(state, own)
    else:
        save_file(torch.load(state), own)
    encoder = featx.ImageEncoder(NETWORK, weights=own, layers=["features.2", "features.9"], pooling="max")
    expected = list(extraction_of(encoder).fingerprints())
    featx.save(encoder, tmp_path / "model")
    own.unlink()
    again = featx.load(tmp_path / "model")
    assert Path(again.weights).parent == tmp_path / "model" / "weights"
    assert Path(again.weights).suffix == suffix
    assert list(extraction_of(again).fingerprints()) == expected


def test_a_checkpoint_of_a_registered_network_comes_along(state, tmp_path, crops):
    own = tmp_path / "own.pth"
    shutil.copy(state, own)
    encoder = featx.ImageEncoder(featx.Encoder.from_checkpoint(own, NETWORK), layers="features.3", cache=False)
    rows, print_ = encoder.transform(crops[:2]), fingerprint(encoder)
    featx.save(encoder, tmp_path / "model")
    own.unlink()
    again = featx.load(tmp_path / "model")
    assert fingerprint(again) == print_
    assert again.encoder.file.parent == tmp_path / "model" / "weights"
    np.testing.assert_array_equal(again.transform(crops[:2]), rows)
    assert torch.equal(again.encoder.module.features[0].weight, encoder.encoder.module.features[0].weight)


def test_a_checkpoint_that_is_another_by_now_is_refused(state, tmp_path):
    own = tmp_path / "own.pth"
    shutil.copy(state, own)
    encoder = featx.ImageEncoder(featx.Encoder.from_checkpoint(own, NETWORK))
    torch.manual_seed(1)
    torch.save(get_architecture(NETWORK).build(224).state_dict(), own)
    with pytest.raises(WeightsError, match="not those it was made with"):
        featx.save(encoder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_network_of_ones_own_becomes_a_graph_of_the_same_fingerprint_and_numbers(tmp_path, crops):
    saved = tiny_encoder(3)
    saved.save(tmp_path / "tiny.safetensors")
    makers = [
        tiny_encoder(1),
        featx.Encoder.from_factory(partial(make_tiny, 2), preprocess=TINY),
        saved,
        featx.Encoder.from_checkpoint(tmp_path / "tiny.safetensors", make_tiny, preprocess=TINY),
    ]
    for i, own in enumerate(makers):
        encoder = featx.ImageEncoder(own, cache=False, runtime="torch", device="cpu")
        folder = tmp_path / str(i)
        folder.mkdir()
        again = travel(encoder, folder)
        assert isinstance(again.encoder, GraphEncoder)
        assert fingerprint(again) == fingerprint(encoder)
        rows, wanted = again.transform(crops[:5]), encoder.transform(crops[:5])
        assert np.linalg.norm(rows - wanted) <= 1e-4 * np.linalg.norm(wanted)


def test_another_preprocess_than_the_networks_own_is_in_its_graph(tiny, tmp_path, crops):
    wide = featx.ImageEncoder(tiny, preprocess=featx.Preprocess(size=48), cache=False)
    again = travel(wide, tmp_path)
    assert fingerprint(again) == fingerprint(wide)
    np.testing.assert_array_equal(again.transform(crops[:3]), wide.transform(crops[:3]))


def test_one_network_under_two_fits_stays_two_encoders(tiny, tmp_path, crops):
    fits = [("a", featx.ImageEncoder(tiny, preprocess="crop")), ("b", featx.ImageEncoder(tiny))]
    model = FeatureUnion(fits)
    again = travel(model, tmp_path)
    for (_, loaded), (_, given) in zip(again.transformer_list, fits, strict=True):
        assert fingerprint(loaded) == fingerprint(given)
    np.testing.assert_array_equal(again.transform(crops[:3]), model.transform(crops[:3]))


def test_an_encoder_that_is_a_graph_already_is_copied(tiny, tmp_path, crops):
    first = travel(featx.ImageEncoder(tiny, cache=False), tmp_path)
    (tmp_path / "second").mkdir()
    second = travel(first, tmp_path / "second")
    shutil.rmtree(tmp_path / "moved")
    assert fingerprint(second) == fingerprint(featx.ImageEncoder(tiny))
    np.testing.assert_array_equal(second.transform(crops[:2]), first.transform(crops[:2]))


def test_published_weights_of_timm_become_a_graph_that_needs_no_timm(tmp_path, crops, monkeypatch):
    timm = pytest.importorskip("timm", reason="needs pip install 'featx[timm]'")
    state = timm.create_model("test_byobnet", pretrained=False).state_dict()
    monkeypatch.setattr(_timm, "_load", lambda _name: state)  # a download is what this machine may not do
    _timm.architecture.cache_clear()
    encoder = featx.ImageEncoder("timm:test_byobnet", cache=False, runtime="openvino", device="cpu")
    again = travel(encoder, tmp_path)
    _timm.architecture.cache_clear()
    assert (again.encoder.name, again.weights) == ("timm:test_byobnet", "default")
    assert fingerprint(again) == fingerprint(encoder)
    np.testing.assert_array_equal(again.transform(crops[:2]), encoder.transform(crops[:2]))


def test_a_graph_that_is_damaged_is_refused(tiny, tmp_path):
    loaded = travel(featx.ImageEncoder(tiny), tmp_path)
    content = bytearray(loaded.encoder.file.read_bytes())
    content[-9] ^= 1
    loaded.encoder.file.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        featx.save(loaded, tmp_path / "again")


@pytest.mark.parametrize("parameters", [{"layers": "conv1"}, {"layers": ["conv1", "conv2"]}, {"precision": "bfloat16"}])
def test_a_graph_has_its_own_feature_in_float32_alone(parameters, tiny, tmp_path):
    with pytest.raises(ModelError, match=r"featx\.Encoder\.from_checkpoint"):
        featx.save(featx.ImageEncoder(tiny, device="cpu", **parameters), tmp_path / "model")


def test_a_network_that_cannot_be_a_graph_is_reported(tmp_path):
    own = featx.Encoder.from_module(Unconvertible(), preprocess=TINY)
    with pytest.raises(ConversionError, match="cannot be converted"):
        featx.save(featx.ImageEncoder(own), tmp_path / "model")


def test_the_default_encoder_and_random_weights_need_no_file(tmp_path):
    model = FeatureUnion([("a", featx.ImageEncoder()), ("b", featx.ImageEncoder("resnet18", weights="random:7"))])
    _, packer = pack(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    names = {entry["name"]: entry for entry in packer.encoders}
    assert names["efficientnet_lite0"]["weights"].startswith("sha256:579344248a93e230")
    assert names["efficientnet_lite0"]["license"] == "Apache-2.0"
    assert names["resnet18"]["weights"].startswith("random:7:torch-")
    assert [entry["file"] for entry in packer.encoders] == [None, None]


def test_every_encoder_is_found_however_deep_and_each_network_is_kept_once(tiny, tmp_path):
    other = tiny_encoder(1)
    columns = make_column_transformer((featx.ImageEncoder(tiny), "photo"), (featx.ImageEncoder(other), "sketch"))
    model = GridSearchCV(make_pipeline(columns, LogisticRegression()), {"columntransformer__n_jobs": [tiny, other]})
    packed, packer = pack(model, tmp_path)
    files = sorted(file.name for file in (tmp_path / "weights").iterdir())
    assert [file.rpartition(".")[2] for file in files] == ["graph", "graph"]
    assert sorted(entry["name"] for entry in packer.encoders) == ["tiny0", "tiny1"]
    encoder = packed.estimator[0].transformers[0][1].encoder
    assert encoder is packed.param_grid["columntransformer__n_jobs"][0]


def test_what_is_this_machines_own_is_replaced_noted_and_left_as_it_was(tiny, tmp_path):
    store = featx.EmbeddingStore(tmp_path / "store")
    model = make_pipeline(featx.ImageEncoder(cache=store, device=["cuda:0", "cuda:1"]), memory=str(tmp_path / "steps"))
    before = pickle.dumps(model)
    packed, packer = pack(model, tmp_path)
    assert (packed.memory, packed[0].cache, packed[0].device) == (None, True, "auto")
    assert sorted(note.partition(",")[0] for note in packer.notes) == [
        "ImageEncoder: cache is True",
        "ImageEncoder: device is 'auto'",
        "Pipeline: memory is None",
    ]
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("cache", [True, False, None])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_what_any_machine_has_stays_as_it_is(cache, device, tmp_path):
    packed, packer = pack(featx.ImageEncoder(cache=cache, device=device), tmp_path)
    assert (packed.cache, packed.device, packer.notes) == (cache, device, [])


def test_a_head_that_was_trained_on_tensors_predicts_on_arrays(tmp_path):
    head = Ridge().fit(np.eye(3), np.arange(3.0))
    head.coef_, head.intercept_ = torch.tensor(head.coef_), torch.tensor(head.intercept_)
    featx.save(head, tmp_path / "model")
    loaded = featx.load(tmp_path / "model")
    assert isinstance(head.coef_, torch.Tensor)
    np.testing.assert_allclose(loaded.predict(np.eye(3)), Ridge().fit(np.eye(3), np.arange(3.0)).predict(np.eye(3)))


def double(x):
    return 2 * x


@pytest.mark.parametrize("where", ["lambda", "local", "script"])
def test_a_function_that_nobody_else_could_import_is_refused_by_its_steps_name(where, tmp_path, monkeypatch):
    def local(x):
        return x

    monkeypatch.setattr(__main__, "double", double, raising=False)
    script = type(double)(double.__code__, {}, "double")
    script.__module__ = "__main__"
    function = {"lambda": lambda x: x, "local": local, "script": script}[where]
    model = make_pipeline(featx.ImageEncoder(), FunctionTransformer(function), LogisticRegression())
    with pytest.raises(ModelError, match="'functiontransformer__func' cannot be saved: nobody else could import it"):
        featx.save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_a_script_is_refused_too(tmp_path):
    class Mine(LogisticRegression):
        pass

    with pytest.raises(ModelError, match="of 'mine' cannot be saved"):
        featx.save(make_pipeline(Mine()), tmp_path / "model")


def test_a_parameter_that_is_not_accepted_is_reported_at_once(tmp_path):
    with pytest.raises(ParameterError):
        featx.save(clone(featx.ImageEncoder(encoder="resnet5")), tmp_path / "model")


@needs_model
def test_a_text_model_comes_along_with_the_files_that_count_and_no_path_of_here(tmp_path, store):
    mine = copy_model(tmp_path / "mine")
    encoder = TextEncoder(mine, cache=store, device="cuda:7", verbose=0)
    featx.save(make_pipeline(encoder, StandardScaler()), tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "model.json").read_text())
    (entry,) = manifest["encoders"]
    assert (entry["name"], entry["fingerprints"]) == ("mine", [spec_of(encoder).fingerprint()])
    assert entry["weights"].startswith("sha256:53aa51172d142c89")
    kept = sorted(path.relative_to(tmp_path / "model" / entry["file"]).as_posix() for path in files_in(tmp_path, entry))
    assert kept == [name for name, _ in spec_of(encoder).files]
    assert [note.split(":")[1].split()[0] for note in manifest["notes"]] == ["cache", "device"]
    assert encoder.encoder == mine


def files_in(tmp_path, entry) -> list[Path]:
    return [path for path in (tmp_path / "model" / entry["file"]).rglob("*") if path.is_file()]


def hub() -> Path:
    return Path(os.environ["TORCH_HOME"], "hub", "checkpoints")


def publish(state: dict, folder: Path) -> Weights:
    """Weights as torchvision has them: a file in torch's hub, named by its digest."""
    torch.save(state, folder / "state.pth")
    name = f"tiny-{hash_file(folder / 'state.pth')[:8]}.pth"
    hub().mkdir(parents=True)
    (folder / "state.pth").rename(hub() / name)
    return replace(
        published_weights("squeezenet1_1", "default"),
        identity=f"test:{name}",
        is_local=lambda: (hub() / name).is_file(),
        load=lambda: read_state_dict(hub() / name),
        file=lambda: hub() / name,
    )


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Weights:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    return publish(make_tiny().state_dict(), tmp_path)


def test_the_file_arrives_byte_for_byte_on_a_machine_that_lacks_it(weights, tmp_path, monkeypatch):
    content = weights.file().read_bytes()
    assert keep_published(weights, tmp_path) == f"weights/{weights.file().name}"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    place_published(weights, tmp_path)
    assert weights.file().read_bytes() == content
    assert os.listdir(hub()) == [weights.file().name]


def test_weights_that_are_not_here_yet_are_fetched_before_they_are_kept(weights, tmp_path):
    published = weights.file().rename(tmp_path / "on the server")
    fetched = replace(weights, load=lambda: published.rename(weights.file()))
    assert (tmp_path / keep_published(fetched, tmp_path)).read_bytes() == weights.file().read_bytes()


def test_what_the_machine_has_is_left_alone(weights, tmp_path):
    keep_published(weights, tmp_path)
    weights.file().write_bytes(b"mine")
    place_published(weights, tmp_path)
    assert weights.file().read_bytes() == b"mine"


def test_a_file_that_was_not_published_is_neither_kept_nor_placed(weights, tmp_path, monkeypatch):
    kept = tmp_path / keep_published(weights, tmp_path)
    kept.write_bytes(b"other weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    with pytest.raises(WeightsError, match="not the file that was published"):
        place_published(weights, tmp_path)
    assert not weights.is_local()
    weights.file().parent.mkdir(parents=True)
    weights.file().write_bytes(b"cut short")
    with pytest.raises(WeightsError, match="not the file that was published"):
        keep_published(weights, tmp_path)


def test_weights_of_a_package_that_is_not_installed_name_it(weights, tmp_path):
    load = partial(_efficientnet_lite._load, "efficientnet_lite9_pytorch_model", "a.pth", "ab")
    carried = replace(weights, file=None, is_local=lambda: False, load=load)
    with pytest.raises(MissingDependencyError, match="efficientnet_lite9"):
        place_published(carried, tmp_path)


def test_a_model_brings_them_along(tmp_path, monkeypatch, crops, store):
    """SqueezeNet under weights of our own: a download is what this machine may not do."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "here"))
    architecture = _registry.get_architecture("squeezenet1_1")
    entry = publish(architecture.build(224).state_dict(), tmp_path)
    monkeypatch.setitem(_registry.registry(), "squeezenet1_1", replace(architecture, weights=(entry,)))
    encoder = featx.ImageEncoder("squeezenet1_1", cache=store, runtime="torch", device="cpu")
    rows = encoder.transform(crops[:2])
    featx.save(encoder, tmp_path / "model")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    again = featx.load(tmp_path / "model")
    assert entry.is_local()
    assert extraction_of(again).spec.fingerprint() == extraction_of(encoder).spec.fingerprint()
    torch.testing.assert_close(*map(torch.from_numpy, (again.transform(crops[:2]), rows)), rtol=1e-5, atol=1e-5)
