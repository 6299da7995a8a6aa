"""Models of timm as encoders: the feature is timm's own, and names are checked before anything is fetched."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import featx
from featx.encoders import _timm, build_network, resolve
from featx.exceptions import MissingDependencyError, ParameterError, UnknownNameError, WeightsError

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")

# A linear classifier, one after a convolution, tokens, a map with its own head, and a head of another kind.
NAMES = ("resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto", "repvit_m1")


@pytest.fixture(autouse=True)
def nothing_remembered():
    _timm.architecture.cache_clear()
    yield
    _timm.architecture.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_feature_is_timms_own(name):
    specs = resolve(f"timm:{name}", weights="random")
    size = specs[0].preprocess.size
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network, model = build_network(specs), specs[0].build().eval()
    with torch.inference_mode():
        (feature,) = network(pixels)
        x = (pixels.permute(0, 3, 1, 2).float() - network.mean) / network.std
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
    torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)
    assert specs[0].dim in (feature.shape[1], None)
    assert (specs[0].dim is None) == (name == "repvit_m1")


# Two branches, a head for each stage, a token for a teacher, and two heads on one vector.
SEVERAL = {
    "crossvit_tiny_240": 288,
    "efficientvim_m1": 960,
    "deit_tiny_distilled_patch16_224": 192,
    "levit_128s": 384,
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_heads_have_one_feature_and_timms_own_logits(name):
    feature, logits = resolve(f"timm:{name}", weights="random", layers=["feature", "logits"])
    assert feature.dim == SEVERAL[name]
    network = build_network([feature, logits])
    model = timm.create_model(name).eval()
    model.load_state_dict({key.removeprefix("network."): v for key, v in network.network.state_dict().items()})
    size = feature.preprocess.size
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = (pixels.permute(0, 3, 1, 2).float() - network.mean) / network.std
        got, expected = network(pixels), (model.forward_head(model.forward_features(x), pre_logits=True), model(x))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_weights_of_several_heads_are_read_as_timm_writes_them(tmp_path):
    model = timm.create_model("crossvit_tiny_240")
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = resolve("timm:crossvit_tiny_240", weights=tmp_path / "w.pth")[0].build()
    assert torch.equal(network.network.head[1].weight, model.head[1].weight)
    assert len(featx.list_layers("timm:crossvit_tiny_240", weights=tmp_path / "w.pth")) > 4


def test_a_users_own_network_of_several_heads_drops_no_branch(tmp_path):
    preprocess = featx.Preprocess(240)
    encoder = featx.Encoder.from_factory(partial(timm.create_model, "crossvit_tiny_240"), preprocess=preprocess)
    assert (encoder.dim, encoder.classifier) == (288, "classifier")
    torch.save(timm.create_model("crossvit_tiny_240").state_dict(), tmp_path / "w.pth")
    read = featx.Encoder.from_checkpoint(
        tmp_path / "w.pth", partial(timm.create_model, "crossvit_tiny_240"), preprocess=preprocess
    )
    assert read.dim == 288


def test_a_network_of_several_heads_is_tuned_with_one(crops):
    pytest.importorskip("skorch", reason="needs pip install 'featx[finetune]'")
    encoder = featx.ImageEncoder(
        "timm:deit_tiny_distilled_patch16_224", weights="random", runtime="torch", cache=False, verbose=0
    )
    model = featx.FineTuneClassifier(encoder, unfreeze="head", max_epochs=1, verbose=0).fit(crops[::5], [0, 1] * 4)
    assert model.encoder_.dim == 192
    assert model.predict_proba(crops[:1]).shape == (1, 2)


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "qwen3_vit_88m_enc"])
def test_model_without_a_classifier_gives_its_output(name):
    architecture = _timm.architecture(name)
    assert (architecture.classifier, architecture.dim) == (None, None)


def test_embeddings_of_a_head_of_another_kind_have_names():
    preprocess = featx.Preprocess(size=224, fit="squash")
    encoder = featx.ImageEncoder("timm:repvit_m1", weights="random", preprocess=preprocess, cache=False)
    assert len(encoder.get_feature_names_out()) == 384


def test_preprocess_is_the_one_that_timm_says():
    config = timm.models.get_pretrained_cfg("resnet10t")
    preprocess = resolve("timm:resnet10t")[0].preprocess
    assert preprocess.size == config.input_size[1]
    assert preprocess.resize == int(config.input_size[1] / config.crop_pct)
    assert (preprocess.mean, preprocess.std) == (config.mean, config.std)
    assert preprocess.interpolation == config.interpolation


def test_timm_squashes_and_then_crops_where_it_says_so():
    preprocess = resolve("timm:dm_nfnet_f0")[0].preprocess
    assert (preprocess.size, preprocess.resize, preprocess.fit) == (192, 213, "squash")
    assert resolve("timm:dm_nfnet_f0", preprocess="squash")[0].preprocess.resize is None


@pytest.mark.parametrize(("mode", "share"), [("center", 1.15), ("border", 0.9)])
def test_what_no_preprocess_can_say_is_refused_by_name(monkeypatch, mode, share):
    config = timm.models.get_pretrained_cfg("resnet10t")
    config.crop_mode, config.crop_pct = mode, share
    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda name: config)
    with pytest.raises(ParameterError, match=f"'timm:resnet10t' takes images with crop_pct={share}"):
        resolve("timm:resnet10t")


def test_tag_chooses_the_weights_and_the_default_tag_is_one_of_them():
    (bare,), (tagged,) = resolve("timm:resnet10t"), resolve("timm:resnet10t.c3_in1k")
    assert bare.fingerprint() == tagged.fingerprint()
    assert bare.weights == "timm:resnet10t.c3_in1k"
    (other,) = resolve("timm:vit_tiny_patch16_224.augreg_in21k")
    assert other.fingerprint() != resolve("timm:vit_tiny_patch16_224")[0].fingerprint()


def test_random_weights_are_the_same_each_time_and_leave_the_random_state_alone():
    before = torch.get_rng_state()
    first, second = (resolve("timm:resnet10t", weights="random:3")[0].build().state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_table_entry_counts_the_parameters():
    expected = sum(p.numel() for p in timm.create_model("resnet10t").parameters()) / 1e6
    assert _timm.architecture("resnet10t").parameters == pytest.approx(expected, abs=1e-3)


def test_local_file_with_another_number_of_classes_is_loaded(tmp_path):
    model = timm.create_model("resnet10t", num_classes=4)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = resolve("timm:resnet10t", weights=tmp_path / "w.pth")[0].build()
    assert torch.equal(network.fc.weight, model.fc.weight)


@pytest.mark.parametrize(
    ("name", "close"),
    [("resnet10", "timm:resnet10t"), ("resnet10t.c3_in1", "timm:resnet10t.c3_in1k")],
)
def test_unknown_name_gets_its_close_matches(name, close):
    with pytest.raises(UnknownNameError, match=f"Unknown encoder 'timm:{name}'. Did you mean .*{close}"):
        resolve(f"timm:{name}")


@pytest.mark.parametrize("name", ["", ".", "hf-hub:timm/resnet10t"])
def test_what_is_no_model_name_is_refused(name):
    with pytest.raises(UnknownNameError, match="Unknown encoder"):
        resolve(f"timm:{name}")


def test_size_that_a_model_cannot_take_is_refused(photos):
    small = featx.Preprocess(size=64)
    encoder = featx.ImageEncoder("timm:vit_tiny_patch16_224", weights="random", preprocess=small, cache=False)
    with pytest.raises(ParameterError, match="cannot take images of 64 x 64"):
        encoder.transform(photos)


def test_model_that_takes_other_images_than_square_rgb_is_refused(monkeypatch):
    config = timm.models.get_pretrained_cfg("resnet10t")
    config.input_size = (1, 32, 32)
    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda name: config)
    with pytest.raises(ParameterError, match="square RGB"):
        resolve("timm:resnet10t")


def test_weights_that_cannot_be_fetched_are_named(monkeypatch):
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no network here")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"weights of 'resnet10t' \(no network here\).*weights="):
        resolve("timm:resnet10t")[0].build()


def test_model_that_cannot_be_built_without_memory_is_built_with_it(monkeypatch):
    create = timm.create_model

    def reads_values(name, **options):
        torch.linspace(0, 1, 3).tolist()
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", reads_values)
    before = torch.get_rng_state()
    assert _timm.architecture("resnet10t").dim == 512
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r"'timm:resnet10t' needs the package 'timm'.*featx\[timm\]"):
        featx.ImageEncoder("timm:resnet10t", cache=False).fit(["a.jpg"])


def test_registered_names_need_no_timm():
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from featx.encoders import resolve, list_encoders\n"
        "resolve('resnet50'); list_encoders()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_photos_are_embedded(photos):
    rows = featx.ImageEncoder("timm:resnet10t", weights="random", cache=False, verbose=0).transform(photos)
    assert rows.shape == (2, 512)
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])
