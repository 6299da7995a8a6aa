"""An encoder in int8 is a separate file, close to float32, and an Encoder like any other."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

import featx
from featx._image_encoder import extraction_of
from featx.encoders import list_layers
from featx.exceptions import InputError, MissingDependencyError, ParameterError, WeightsError
from featx.runtimes import _loading

nncf = pytest.importorskip("nncf", reason="needs pip install 'featx[quantize]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tiny encoder in int8, made once."""
    from tests.networks import tiny_encoder

    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("quantised")))
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    encoder = featx.quantize_encoder(tiny_encoder(), [*noise], path=tmp_path_factory.mktemp("int8") / "tiny.graph")
    patch.undo()
    return encoder


def test_the_default_encoder_in_int8_is_near_float32_smaller_and_not_the_same(photos):
    crops = [photo[y : y + 224, x : x + 224] for photo in photos for y in (0, 90, 180) for x in (0, 130, 260, 390)]
    small = featx.quantize_encoder("efficientnet_lite0", crops)
    exact, int8 = (featx.ImageEncoder(encoder).transform(crops) for encoder in ("efficientnet_lite0", small))
    assert int8.shape == exact.shape
    cosine = (exact * int8).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(int8, axis=1)
    assert np.median(cosine) > 0.995  # 0.986 with the nearest integers for weights
    assert cosine.max() < 0.99999
    assert small.file.stat().st_size < 5e6  # 13.6 MB in float32


def test_it_is_an_encoder_with_another_fingerprint(made, tiny, crops, store):
    assert isinstance(made, featx.Encoder)
    assert clone(featx.ImageEncoder(made)).encoder is made
    for encoder in (tiny, made):
        featx.ImageEncoder(encoder, cache=store).transform(crops[:4])
    assert sorted(store.info()["encoder"]) == ["tiny0", "tiny0-int8"]
    assert made.dim == 8


def test_another_process_gets_it_by_its_path(made, crops):
    again = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) < 4000
    rows = [featx.ImageEncoder(encoder, cache=False).transform(crops[:3]) for encoder in (made, again)]
    np.testing.assert_array_equal(*rows)


def test_it_is_saved_with_its_file(made, crops, tmp_path):
    encoder = featx.ImageEncoder(made, cache=False)
    featx.save(encoder, tmp_path / "model")
    again = featx.load(tmp_path / "model")
    assert again.encoder.file.parent == tmp_path / "model" / "weights"
    assert extraction_of(again).spec.fingerprint() == extraction_of(encoder).spec.fingerprint()
    np.testing.assert_array_equal(again.transform(crops[:3]), encoder.transform(crops[:3]))


def test_another_content_is_another_identity(made, tiny, crops, tmp_path):
    other = featx.quantize_encoder(tiny, crops[:12], path=tmp_path / "other.graph")
    assert other.weights != made.weights
    assert other.file == tmp_path / "other.graph"


def test_without_a_path_it_is_named_by_its_content(tiny, crops):
    first = featx.quantize_encoder(tiny, crops[:12])
    assert first.file.name.startswith("int8-")
    assert first.weights.removeprefix("int8:")[:32] in first.file.name


def test_a_damaged_or_missing_file_is_an_error_that_names_it(made, crops, tmp_path, monkeypatch):
    monkeypatch.setattr(_loading, "_loaded", type(_loading._loaded)())
    broken = made.with_file(tmp_path / "moved.graph")
    with pytest.raises(WeightsError, match="cannot be read"):
        featx.ImageEncoder(broken, cache=False).transform(crops[:1])
    content = bytearray(made.file.read_bytes())
    content[-5] ^= 1
    broken.file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"moved\.graph is damaged"):
        featx.ImageEncoder(broken, cache=False).transform(crops[:1])


def test_what_an_integer_graph_cannot_do_is_refused(made, crops):
    encoder = featx.ImageEncoder(made, cache=False)
    for layer in ("logits", "late"):
        with pytest.raises(ParameterError, match="only its own feature"):
            clone(encoder).set_params(layers=layer).transform(crops[:1])
    with pytest.raises(ParameterError, match="no torch module"):
        list_layers(made)
    own = clone(encoder).set_params(layers="feature").transform(crops[:1])
    np.testing.assert_array_equal(own, encoder.transform(crops[:1]))
    with pytest.raises(ParameterError, match="runs in OpenVINO"):
        clone(encoder).set_params(runtime="torch").transform(crops[:1])
    with pytest.raises(ParameterError, match="Expected size=32"):
        clone(encoder).set_params(preprocess=featx.Preprocess(size=64)).transform(crops[:1])
    with pytest.raises(ParameterError, match="no torch module"):
        made.module  # noqa: B018
    with pytest.raises(ParameterError, match="lies in a file already"):
        made.save("elsewhere")
    with pytest.raises(ParameterError, match="Expected an encoder in float32"):
        featx.quantize_encoder(made, crops)


def test_another_fit_needs_no_other_graph(made, crops):
    rows = [featx.ImageEncoder(made, preprocess=fit, cache=False).transform(crops[:2]) for fit in ("squash", "crop")]
    assert not np.allclose(*rows)


def test_unreadable_images_are_left_out_and_too_few_are_refused(tiny, crops):
    featx.quantize_encoder(tiny, [*crops[:12], b"junk", None])
    with pytest.raises(InputError, match="Got 9 readable images"):
        featx.quantize_encoder(tiny, [*crops[:9], b"junk"])


def test_without_nncf_the_extra_is_named(tiny, crops, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[quantize\]"):
        featx.quantize_encoder(tiny, crops)


def test_images_may_be_files(tiny, crops, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for path, crop in zip(paths, crops, strict=False):
        Image.fromarray(crop).save(path)
    encoders = featx.quantize_encoder(tiny, paths), featx.quantize_encoder(tiny, crops[:10])
    rows = [featx.ImageEncoder(encoder).transform(crops[:5]) for encoder in encoders]
    np.testing.assert_allclose(*rows, atol=0.02)
