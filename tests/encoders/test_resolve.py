from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import featx
from featx.encoders import resolve
from featx.exceptions import ParameterError, UnknownNameError, WeightsError
from tests.networks import make_tiny


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
    assert spec.preprocess == featx.Preprocess(224, 232, interpolation="bilinear")


def test_published_weights_bring_their_own_preprocess():
    (first,), (second,) = resolve("resnet50", weights="IMAGENET1K_V1"), resolve("resnet50", weights="IMAGENET1K_V2")
    assert (first.preprocess.resize, second.preprocess.resize) == (256, 232)
    assert first.weights != second.weights
    assert resolve("resnet50") == (second,)


def test_random_weights_are_identified_by_seed_and_torch_version():
    (bare,), (zero,), (seven,) = (resolve("resnet18", weights=w) for w in ("random", "random:0", "random:7"))
    assert bare.fingerprint() == zero.fingerprint() != seven.fingerprint()
    assert seven.weights == f"random:7:torch-{importlib.metadata.version('torch')}"
    assert seven.licence == "none"


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
    reference = featx.Preprocess(32, 40, fit="squash")
    encoder = featx.Encoder.from_module(torch.nn.Conv2d(3, 2, 3), preprocess=reference)
    assert resolve(encoder)[0].preprocess == reference
    assert resolve(encoder, preprocess="squash")[0].preprocess == featx.Preprocess(32, fit="squash")
    assert resolve(encoder, preprocess="crop")[0].preprocess == featx.Preprocess(32, 40)


def test_a_preprocess_of_ones_own_is_taken_whole():
    mine = featx.Preprocess(size=96, interpolation="nearest")
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
