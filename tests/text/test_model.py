from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from featx.exceptions import DeviceError, WeightsError
from featx.text import _embed, read_spec
from featx.text._embed import encode
from tests.text.models import MODEL, TEXTS, copy_model, needs_model

pytestmark = needs_model


@pytest.fixture(scope="module")
def spec():
    return read_spec("mini", MODEL)


def test_the_numbers_are_those_of_sentence_transformers(spec):
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(MODEL), device="cpu").encode(TEXTS, show_progress_bar=False)
    rows = encode(spec, TEXTS, "cpu")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_row_depends_neither_on_the_batch_nor_on_the_order(spec, batch_size):
    whole = encode(spec, TEXTS, "cpu")
    np.testing.assert_allclose(encode(spec, TEXTS[::-1], "cpu", batch_size)[::-1], whole, rtol=1e-4, atol=1e-6)


def test_a_model_is_loaded_once_and_two_are_kept(tmp_path):
    _embed._load.cache_clear()
    specs = [read_spec("mini", MODEL)]
    for i in range(2):
        folder = copy_model(tmp_path / str(i))
        (folder / "vocab.txt").write_text(f"{i}")
        specs.append(read_spec("mini", folder))
    for _ in range(2):
        encode(specs[0], TEXTS[:1], "cpu")
    assert (_embed._load.cache_info().hits, _embed._load.cache_info().misses) == (1, 1)
    for spec in specs:
        encode(spec, TEXTS[:1], "cpu")
    assert _embed._load.cache_info().currsize == 2


def test_threads_may_encode_at_once_and_share_the_model(spec):
    _embed._load.cache_clear()
    whole = encode(spec, TEXTS, "cpu")
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: encode(spec, [TEXTS[i % 6]] * (i + 1), "cpu"), range(12)))
    for i, part in enumerate(parts):
        np.testing.assert_allclose(part, whole[[i % 6] * (i + 1)], rtol=1e-4, atol=1e-6)
    assert _embed._load.cache_info().misses == 1


def test_a_model_in_half_precision_computes_in_float32(tmp_path, spec):
    from safetensors.torch import load_file, save_file

    folder = copy_model(tmp_path / "half")
    (folder / "model.safetensors").unlink()
    half = {name: tensor.half() for name, tensor in load_file(MODEL / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors")
    rows = encode(read_spec("half", folder), TEXTS, "cpu")
    kept = _embed._load(read_spec("half", folder), "cpu")
    assert {parameter.dtype for parameter in kept.parameters()} == {torch.float32}
    assert np.abs(rows - encode(spec, TEXTS, "cpu")).max() > 0
    np.testing.assert_allclose(rows, encode(spec, TEXTS, "cpu"), atol=1e-3)


def test_no_bar_is_shown_and_the_bars_of_others_stay_as_they_were(spec, capfd):
    from transformers.utils import logging

    _embed._load.cache_clear()
    encode(spec, TEXTS, "cpu")
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()


def test_a_folder_that_cannot_be_loaded_says_why(tmp_path):
    folder = copy_model(tmp_path / "damaged")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"sentence-transformers .* cannot load .*damaged: .*Expected a folder"):
        encode(read_spec("damaged", folder), TEXTS, "cpu")


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has the device that is asked for")
def test_a_device_that_is_not_there_is_named(spec):
    with pytest.raises(DeviceError, match="cuda:7"):
        encode(spec, TEXTS, "cuda:7")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_numbers(spec):
    expected = encode(spec, TEXTS, "cpu")
    gap = np.linalg.norm(encode(spec, TEXTS, "cuda") - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert gap.max() <= 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_did_not_come_along():
    context, answer = multiprocessing.get_context("fork"), multiprocessing.get_context("fork").Queue()
    with _embed._lock, ThreadPoolExecutor(1) as pool:  # the child is made by another thread than the lock's
        child = context.Process(target=lambda: answer.put(_embed._lock.acquire(timeout=300)))
        pool.submit(child.start).result()
        assert answer.get(timeout=600)
        child.join()
