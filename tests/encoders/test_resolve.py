"""From a user's parameters to specs and fingerprints."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import featx
from featx.encoders import EncoderSpec, resolve, to_node
from featx.exceptions import ParameterError, UnknownNameError, WeightsError
from tests.networks import TINY, make_tiny


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50", "vit_b_16"])
def test_a_registered_name_is_resolved_without_torch(name):
    code = f"""
import sys
from featx.encoders import resolve
for options in ({{}}, {{"layers": ["logits", "anything"]}}, {{"weights": "random"}}, {{"preprocess": "pad"}}):
    assert len(resolve({name!r}, **options)[0].fingerprint()) == 64
assert "torch" not in sys.modules and "torchvision" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_is_the_networks_own_feature_with_its_reference_preprocess():
    (spec,) = resolve("resnet50")
    assert (spec.layer, spec.pooling, spec.dim, spec.classifier) == ("feature", None, 2048, "fc")
    assert spec.weights == "torchvision:resnet50-11ad3fa6"
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert spec.preprocess == featx.Preprocess(224, 232, interpolation="bilinear", **imagenet)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50"])
def test_another_size_keeps_the_mean_and_deviation_that_the_weights_were_trained_with(name):
    (own,), (larger,) = resolve(name), resolve(name, preprocess=featx.Preprocess(300, fit="squash"))
    assert (larger.preprocess.mean, larger.preprocess.std) == (own.preprocess.mean, own.preprocess.std)
    (given,) = resolve(name, preprocess=featx.Preprocess(300, mean=(0.1, 0.2, 0.3)))
    assert (given.preprocess.mean, given.preprocess.std) == ((0.1, 0.2, 0.3), own.preprocess.std)


def test_a_checkpoint_of_a_known_architecture_keeps_its_mean_and_deviation_at_another_size(tmp_path):
    (own,) = resolve("efficientnet_lite0", weights="random")
    torch.save(own.build().state_dict(), tmp_path / "tuned.pth")
    larger = featx.Encoder.from_checkpoint(
        tmp_path / "tuned.pth", architecture="efficientnet_lite0", preprocess=featx.Preprocess(64)
    )
    assert (larger.preprocess.mean, larger.preprocess.std) == (own.preprocess.mean, own.preprocess.std)


def test_a_network_of_which_nothing_is_known_takes_imagenets_mean_and_deviation():
    encoder = featx.Encoder.from_module(make_tiny(0), preprocess=featx.Preprocess(8))
    assert (encoder.preprocess.mean, encoder.preprocess.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_published_weights_bring_their_own_preprocess():
    (first,), (second,) = resolve("resnet50", weights="IMAGENET1K_V1"), resolve("resnet50", weights="IMAGENET1K_V2")
    assert (first.preprocess.resize, second.preprocess.resize) == (256, 232)
    assert first.weights != second.weights
    assert resolve("resnet50") == (second,)


def test_random_weights_are_identified_by_seed_and_torch_version():
    (bare,), (zero,), (seven,) = (resolve("resnet18", weights=w) for w in ("random", "random:0", "random:7"))
    assert bare.fingerprint() == zero.fingerprint() != seven.fingerprint()
    assert seven.weights == f"random:7:torch-{importlib.metadata.version('torch')}"
    assert seven.license == "none"


def test_a_weights_file_is_identified_by_its_content_and_not_its_path(tmp_path):
    torch.save(make_tiny(0).state_dict(), tmp_path / "a.pth")
    shutil.copy(tmp_path / "a.pth", tmp_path / "b.pth")
    torch.save(make_tiny(1).state_dict(), tmp_path / "c.pth")
    a, b, c = (resolve("resnet18", weights=tmp_path / name)[0] for name in ("a.pth", "b.pth", "c.pth"))
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()
    assert a.weights.startswith("sha256:")
    assert str(tmp_path) not in str(a.identity())


def test_a_weights_file_may_be_named_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    torch.save({}, tmp_path / "w.pth")
    assert resolve("resnet18", weights="~/w.pth") == resolve("resnet18", weights=tmp_path / "w.pth")


def test_a_weights_file_that_changes_before_it_is_loaded_is_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(make_tiny(0).state_dict(), path)
    (spec,) = resolve("resnet18", weights=path)
    torch.save({**make_tiny(0).state_dict(), "more": torch.zeros(9)}, path)
    with pytest.raises(WeightsError, match="changed"):
        spec.build()


def test_no_pooling_and_avg_find_the_same_rows():
    (none,), (avg,), (best,) = (resolve("resnet50", layers="layer3", pooling=p) for p in (None, "avg", "max"))
    assert none.fingerprint() == avg.fingerprint() != best.fingerprint()


def test_each_layer_has_a_spec_of_its_own_and_only_the_feature_has_a_known_dim():
    specs = resolve("resnet50", layers=("layer3", "feature", "logits"), pooling="gem")
    assert [(s.layer, s.pooling, s.dim) for s in specs] == [
        ("layer3", "gem", None),
        ("feature", None, 2048),
        ("logits", None, None),
    ]
    assert specs[1].fingerprint() == resolve("resnet50")[0].fingerprint()


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_a_fit_is_the_reference_with_another_fit(fit):
    (default,), (changed,) = resolve("vit_b_16"), resolve("vit_b_16", preprocess=fit)
    assert (changed.preprocess.fit, changed.preprocess.size) == (fit, 224)
    assert (changed == default) is (fit == "crop")


def test_squash_shows_the_whole_image_also_where_the_reference_squashes_and_crops():
    scale = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    reference = featx.Preprocess(32, 40, fit="squash", **scale)
    encoder = featx.Encoder.from_module(torch.nn.Conv2d(3, 2, 3), preprocess=reference)
    assert resolve(encoder)[0].preprocess == reference
    assert resolve(encoder, preprocess="squash")[0].preprocess == featx.Preprocess(32, fit="squash", **scale)
    assert resolve(encoder, preprocess="crop")[0].preprocess == featx.Preprocess(32, 40, **scale)


def test_a_preprocess_of_ones_own_is_taken_whole():
    mine = featx.Preprocess(96, interpolation="nearest", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert resolve("resnet18", preprocess=mine)[0].preprocess == mine


def test_a_users_encoder_brings_its_identity_and_takes_another_preprocess(tiny):
    (spec,), (padded,) = resolve(tiny), resolve(tiny, preprocess="pad")
    assert (spec.name, spec.weights, spec.dim) == ("tiny0", tiny.weights, 8)
    assert padded.preprocess.fit == "pad"
    assert spec.fingerprint() != padded.fingerprint()


@pytest.mark.parametrize(
    ("encoder", "options", "error", "message"),
    [
        ("resnet5", {}, UnknownNameError, "Did you mean 'resnet50'"),
        ("", {}, UnknownNameError, "list_encoders"),
        (torch.nn.Linear(2, 2), {}, ParameterError, r"from_module\(module, preprocess="),
        (None, {}, ParameterError, "NoneType"),
        ("resnet50", {"weights": "IMAGENET1K_V3"}, UnknownNameError, "IMAGENET1K_V2"),
        ("resnet50", {"weights": "random:x"}, UnknownNameError, "Unknown weights"),
        ("resnet50", {"weights": "random:-1"}, UnknownNameError, "Unknown weights"),
        ("resnet50", {"weights": "random:" + "9" * 30}, UnknownNameError, "Unknown weights"),
        ("resnet50", {"weights": None}, ParameterError, "weights=None"),
        ("resnet50", {"weights": Path("missing")}, WeightsError, "missing cannot be read"),
        ("resnet50", {"weights": "."}, UnknownNameError, "Unknown weights"),
        ("resnet50", {"weights": "./"}, WeightsError, "cannot be read"),
        ("resnet50", {"layers": []}, ParameterError, "layers"),
        ("resnet50", {"layers": 3}, ParameterError, "layers=3"),
        ("resnet50", {"layers": ["layer1", 3]}, ParameterError, "layers"),
        ("resnet50", {"layers": ""}, ParameterError, "layers"),
        ("resnet50", {"layers": ["layer1", "layer1"]}, ParameterError, "twice"),
        ("resnet50", {"layers": "layer1", "pooling": "mean"}, UnknownNameError, "pooling"),
        ("resnet50", {"pooling": "avg"}, ParameterError, "without layers"),
        ("resnet50", {"preprocess": "crops"}, ParameterError, "preprocess='crops'"),
        ("resnet50", {"preprocess": None}, ParameterError, "preprocess=None"),
    ],
    ids=str,
)
def test_a_wrong_value_is_quoted_with_what_was_expected(encoder, options, error, message):
    with pytest.raises(error, match=message):
        resolve(encoder, **options)


def test_weights_beside_a_users_encoder_are_refused(tiny):
    with pytest.raises(ParameterError, match="has its own"):
        resolve(tiny, weights="random")


# --- portable names of layers


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50", "vit_b_16"])
def test_a_registered_networks_names_are_known_without_torch(name):
    code = f"""
import sys
from featx.encoders import resolve
assert len({{spec.fingerprint() for spec in resolve({name!r}, layers=["early", "middle", "late", "last"])}}) == 4
assert "torch" not in sys.modules and "torchvision" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_portable_name_and_its_node_are_one_layer():
    assert resolve("resnet50", layers="late") == resolve("resnet50", layers="layer3")
    assert resolve("resnet50", layers="late")[0].fingerprint() == resolve("resnet50", layers="layer3")[0].fingerprint()


def test_a_portable_name_finds_the_rows_of_its_node(tiny, crops, store, caplog):
    featx.ImageEncoder(tiny, layers=["norm1", "conv2"], cache=store).transform(crops)
    caplog.set_level("INFO", "featx")
    featx.ImageEncoder(tiny, layers=["early", "last"], cache=store).transform(crops)
    assert "hits=40 encoded=0" in caplog.text


def test_two_names_that_are_one_node_are_refused_together(tiny):
    with pytest.raises(ParameterError, match="names a node twice: norm1, norm1"):
        resolve(tiny, layers=["early", "middle"])
    with pytest.raises(ParameterError, match="names a node twice: layer3, layer3"):
        resolve("resnet18", layers=["late", "layer3"])


def test_a_models_of_timm_are_asked_themselves():
    assert [spec.layer for spec in resolve("timm:convnext_atto", layers=["early", "middle", "late", "last"])] == [
        *("stages.0", "stages.1", "stages.2", "stages.3")
    ]


def test_an_encoder_of_ones_own_keeps_what_it_found(tiny):
    encoder = featx.Encoder.from_module(make_tiny(), preprocess=TINY)
    assert to_node("last", encoder) == "conv2"
    again = pickle.loads(pickle.dumps(encoder))
    assert again.__dict__["stages"] == encoder.stages
    assert again._module is None  # nothing was loaded for it


def test_a_node_that_really_is_called_so_is_that_node():
    network = nn.Sequential()
    network.add_module("early", nn.Conv2d(3, 4, 3))
    network.add_module("other", nn.Conv2d(4, 4, 3, stride=2))
    encoder = featx.Encoder.from_module(network, preprocess=TINY)
    assert to_node("early", encoder) == "early"
    assert to_node("last", encoder) == "other"


def test_a_network_without_nodes_says_so():
    encoder = featx.Encoder.from_module(nn.Conv2d(3, 4, 3), preprocess=TINY, name="bare")
    with pytest.raises(ParameterError, match=r"'bare'.* has no node"):
        resolve(encoder, layers="late")


def test_a_name_that_is_nearly_portable_gets_it_as_a_close_match(tiny, crops):
    with pytest.raises(UnknownNameError, match="Did you mean 'middle'"):
        featx.ImageEncoder(tiny, layers="midle", cache=False).transform(crops[:1])


# --- fingerprints


SPEC = EncoderSpec("tiny", "module:tiny", "state:0", featx.Preprocess(size=32))


def test_the_default_encoders_fingerprint_changes_only_on_purpose():
    (spec,) = resolve("efficientnet_lite0")
    assert spec.fingerprint() == "babf81232cdfedfa080a63493b19a122eb4c1576783ab71d29a0707d7f572281"


def test_the_squashed_default_encoders_fingerprint_changes_only_on_purpose():
    (spec,) = resolve("efficientnet_lite0", preprocess="squash")
    assert spec.fingerprint() == "cf81ccbffb6adcd361d140d6dbc7b7b981ac6539f1e08c3783757e1f40052c7f"


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "module:other"},
        {"weights": "state:1"},
        {"layer": "conv1"},
        {"pooling": "max"},
        {"precision": "bfloat16"},
        {"decode": "fast"},
        *(
            {"preprocess": featx.Preprocess(**{"size": 32, **change})}
            for change in (
                {"size": 33},
                {"resize": 40},
                {"fit": "pad"},
                {"interpolation": "bilinear"},
                {"mean": (0.5, 0.5, 0.5)},
                {"std": (0.5, 0.5, 0.5)},
            )
        ),
    ],
    ids=str,
)
def test_what_changes_the_numbers_changes_the_fingerprint(change):
    assert replace(SPEC, **change).fingerprint() != SPEC.fingerprint()


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"dim": 3}, {"license": "MIT"}, {"classifier": "fc"}, {"build": dict}], ids=str
)
def test_what_changes_no_number_is_not_in_the_fingerprint(change):
    assert replace(SPEC, **change).fingerprint() == SPEC.fingerprint()


def test_the_fingerprint_is_the_digest_of_canonical_json():
    text = json.dumps(SPEC.identity(), sort_keys=True, separators=(",", ":"))
    assert SPEC.fingerprint() == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(text)["preprocess"]["size"] == 32
    assert json.loads(text)["policy"] == 2


def test_specs_that_differ_in_what_changes_no_number_are_equal():
    assert replace(SPEC, dim=3, license="MIT", build=dict) == SPEC
