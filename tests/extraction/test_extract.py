from __future__ import annotations

import builtins
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import cross_val_score
from tqdm import tqdm

import featx
from featx._image_encoder import extraction_of
from featx.exceptions import ImageReadError, ImageWarning, NonFiniteEmbeddingError
from featx.extraction import Extraction, Options, _table
from featx.extraction import _extract as module
from featx.images import DigestMemo, as_column, digest_many
from tests.networks import Broken, Overflowing, tiny_encoder, wrap


@pytest.fixture
def encoder(tiny, store) -> featx.ImageEncoder:
    return featx.ImageEncoder(tiny, cache=store, verbose=0)


@pytest.fixture
def truncated(files, tmp_path) -> str:
    path = tmp_path / "truncated.jpg"
    path.write_bytes(Path(files[0]).read_bytes()[:2000])
    return str(path)


@pytest.fixture
def remembered(files, monkeypatch) -> list[str]:
    """The files, whose digests are remembered from an earlier look."""
    monkeypatch.setattr("featx.images._memo._RACY_NS", -(10**12))
    monkeypatch.setattr("featx.images._source._FEW", 0)
    with ThreadPoolExecutor(1) as pool:
        digest_many(files, memo=DigestMemo(), pool=pool)
    return files


def rows_in(store) -> int:
    info = store.info()
    return int(info["rows"].sum())


def test_each_distinct_image_is_run_once(tiny, crops, store, caplog):
    caplog.set_level("INFO", "featx")
    column = as_column([*crops, *crops[:10]])
    extraction = Extraction(extraction_of(featx.ImageEncoder(tiny)).specs, store, Options())
    extraction.embed(column)
    assert "rows=50 hits=10 encoded=40 failed=0 seconds=" in caplog.text
    caplog.clear()
    extraction.embed(column)
    assert "rows=50 hits=50 encoded=0 failed=0 seconds=" in caplog.text


def test_new_images_among_known_ones_are_all_that_is_encoded(encoder, crops, caplog):
    known = encoder.transform(crops[:30])
    caplog.set_level("INFO", "featx")
    rows = encoder.transform(crops)
    assert "rows=40 hits=30 encoded=10" in caplog.text
    np.testing.assert_array_equal(rows[:30], known)


def test_bad_images_are_listed_at_the_end_and_every_good_one_is_stored(encoder, files, truncated, store):
    images = pd.Series([files[0], "nowhere.jpg", files[1], truncated, None], index=list("abcde"))
    with pytest.raises(ImageReadError) as raised:
        encoder.transform(images)
    table = raised.value.table
    assert table["position"].tolist() == [1, 3, 4]
    assert table["index"].tolist() == ["b", "d", "e"]
    assert table["reason"].str.contains("no such file|damaged|missing").all()
    assert "row 3" in str(raised.value)
    assert "3 of 5 images" in str(raised.value)
    assert rows_in(store) == 2


def test_bad_images_may_become_nan_rows_with_one_warning(tiny, files, truncated):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error="nan", on_missing="nan")
    with pytest.warns(ImageWarning, match="3 of 5") as warned:
        rows = encoder.transform([files[0], "nowhere.jpg", files[1], truncated, ""])
    assert len(warned) == 1
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False, True, True]


@pytest.mark.parametrize(("on_error", "on_missing", "raising"), [("raise", "nan", [1]), ("nan", "raise", [2])])
def test_unreadable_and_missing_rows_have_policies_of_their_own(tiny, files, on_error, on_missing, raising):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error=on_error, on_missing=on_missing)
    with pytest.raises(ImageReadError) as raised:
        encoder.transform([files[0], "nowhere.jpg", float("nan")])
    assert raised.value.table["position"].tolist() == raising


def test_only_bad_images_still_give_rows_of_the_right_length(tiny):
    encoder = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], cache=False, on_error="nan", on_missing="nan")
    with pytest.warns(ImageWarning):
        rows = encoder.transform(["nowhere.jpg", None])
    assert rows.shape == (2, 14)
    assert np.isnan(rows).all()


def test_a_bad_image_is_bad_in_every_row_that_shows_it(tiny, files, truncated):
    encoder = featx.ImageEncoder(tiny, cache=False)
    with pytest.raises(ImageReadError) as raised:
        encoder.transform([truncated, files[0], truncated])
    assert raised.value.table["position"].tolist() == [0, 2]


def test_a_row_that_fails_in_one_layer_is_nan_in_all(tiny, remembered, store, monkeypatch):
    files = remembered
    featx.ImageEncoder(tiny, layers="conv1", cache=store).transform(files[:3])
    data = Path(files[1]).read_bytes()
    original = module.digest_unread

    def as_before(sources, **options):  # the store knows the file's old content in one layer
        found = original(sources, **options)
        Path(files[1]).write_bytes(data[:2000])
        return found

    monkeypatch.setattr(module, "digest_unread", as_before)
    encoder = featx.ImageEncoder(tiny, layers=["conv1", "conv2"], cache=store, on_error="nan")
    with pytest.warns(ImageWarning, match="damaged|changed"):
        rows = encoder.transform(files[:3])
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]


def test_a_wrong_root_folder_stops_early_with_one_resolved_path(encoder, files, store, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageReadError, match="Stopped after") as raised:
        encoder.transform([*files, *(f"wrong/{i}.jpg" for i in range(9000))])
    assert raised.value.stopped_after < 9012
    assert str(tmp_path / "wrong" / "0.jpg") in str(raised.value)


@pytest.mark.parametrize("n", [5, 20, 542])
def test_a_wrong_root_folder_stops_where_bad_rows_may_be_nan_too(tiny, n):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error="nan", on_missing="nan")
    with pytest.raises(ImageReadError, match=rf"{n} of them are unreadable.*another root folder") as raised:
        encoder.transform([*(f"wrong/{i}.jpg" for i in range(n)), None])
    assert len(raised.value.table) == n


def test_a_cross_validation_over_a_wrong_root_has_no_score(tiny):
    model = featx.image_pipeline(encoder=tiny, cache=False, on_error="nan")
    with pytest.raises(ValueError, match="another root folder"):
        cross_val_score(model, [f"wrong/{i}.jpg" for i in range(60)], [0, 1] * 30, cv=3)


@pytest.mark.parametrize("n", [1, 4])
def test_a_few_bad_images_are_nan_even_if_there_are_no_others(tiny, n):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error="nan")
    with pytest.warns(ImageWarning, match=f"{n} of {n}"):
        assert np.isnan(encoder.transform([b"no image %d" % i for i in range(n)])).all()


def test_missing_cells_may_be_most_of_a_column(tiny, crops):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error="nan", on_missing="nan")
    with pytest.warns(ImageWarning, match="91 of 100"):
        rows = encoder.transform([*crops[:9], b"no image", *[None] * 90])
    assert np.isfinite(rows).all(axis=1).sum() == 9


def test_few_images_never_stop_early(encoder, files, store):
    with pytest.raises(ImageReadError) as raised:
        encoder.transform([*(f"wrong/{i}.jpg" for i in range(100)), *files])
    assert raised.value.stopped_after is None
    assert rows_in(store) == 12


def test_undecodable_images_that_are_the_rule_stop_early_too(encoder, crops, store, monkeypatch):
    monkeypatch.setattr(_table, "_CHUNKS", (64, 64))
    junk = [b"no image %d" % i for i in range(2000)]
    with pytest.raises(ImageReadError, match="Stopped after"):
        encoder.transform([*crops, *junk])
    assert rows_in(store) == 40


def test_seven_bad_files_in_five_thousand_end_in_one_error_that_lists_seven(tiny, crops, store):
    stamp = np.arange(5000)
    images = [np.roll(crops[i % 40][:32, :32], i, axis=1).copy() for i in stamp]
    for i, image in zip(stamp, images, strict=True):
        image[0, 0] = i % 256, i // 256, 0
    bad = [31, 400, 401, 2000, 3333, 4998, 4999]
    for i in bad:
        images[i] = b"not an image %d" % i
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0, batch_size=256)
    with pytest.raises(ImageReadError) as raised:
        encoder.transform(images)
    assert raised.value.table["position"].tolist() == bad
    assert str(raised.value).startswith("7 of 5,000 images unreadable; 4,993 embeddings stored.")
    assert 'Continue with on_error="nan"' in str(raised.value)
    assert rows_in(store) == 4993


def test_an_interrupted_run_keeps_what_it_had_encoded(encoder, crops, store, monkeypatch):
    from featx.runtimes._torch import TorchRuntime

    run, batches = TorchRuntime.run, []

    def interrupted(self, batch, **options):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(len(batch))
        return run(self, batch, **options)

    monkeypatch.setattr(TorchRuntime, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encoder.set_params(runtime="torch", batch_size=4).transform(crops)
    assert rows_in(store) == sum(batches) == 8


def test_an_interruption_between_batches_keeps_what_was_begun(encoder, crops, store, monkeypatch):
    """Ctrl-C comes in the main thread, wherever that is."""
    from featx.runtimes._torch import TorchRuntime

    run, batches = TorchRuntime.run, []

    def counting(self, batch, **options):
        batches.append(len(batch))
        return run(self, batch, **options)

    class Bar:
        def __init__(self, *_, **__):
            self.updates = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def set_postfix(self, **_):
            pass

        def update(self, n):
            self.updates += 1
            if self.updates == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(TorchRuntime, "run", counting)
    monkeypatch.setattr(module, "progress_bar", Bar)
    with pytest.raises(KeyboardInterrupt):
        encoder.set_params(runtime="torch", batch_size=2).transform(crops)
    assert rows_in(store) == sum(batches) < 40


def test_memory_holds_a_few_batches_only(tiny, crops, monkeypatch):
    from featx.extraction import _batches
    from featx.runtimes._torch import TorchRuntime

    decoded, most = [0], [0]
    decode, run = _batches._decode, TorchRuntime.run

    def counting_decode(*arguments):
        decoded[0] += 1
        return decode(*arguments)

    def counting_run(self, batch, **options):
        most[0] = max(most[0], decoded[0])
        rows = run(self, batch, **options)
        decoded[0] -= len(batch)
        return rows

    monkeypatch.setattr(_batches, "_decode", counting_decode)
    monkeypatch.setattr(TorchRuntime, "run", counting_run)
    featx.ImageEncoder(tiny, runtime="torch", cache=False, batch_size=4, n_jobs=2).transform(crops)
    assert 4 <= most[0] <= (2 + 1) * 4


def test_a_file_that_changes_between_digest_and_decoding_gives_no_wrong_row(
    tiny, remembered, crops, store, monkeypatch
):
    original, files = module.digest_unread, remembered

    def changing(sources, **options):
        result = original(sources, **options)
        Image.fromarray(crops[30]).save(files[0])
        return result

    monkeypatch.setattr(module, "digest_unread", changing)
    with pytest.raises(ImageReadError, match="changed while it was read"):
        featx.ImageEncoder(tiny, cache=store).transform(files[:2])
    monkeypatch.undo()
    fresh = featx.ImageEncoder(tiny, cache=store).transform(files[:2])
    np.testing.assert_allclose(fresh, featx.ImageEncoder(tiny, cache=False).transform(files[:2]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize("policy", ["raise", "nan"])
def test_a_network_that_gives_nan_is_an_error_of_its_own_whatever_the_policy(runtime, policy, crops, store):
    encoder = featx.ImageEncoder(wrap(Broken()), runtime=runtime, cache=store, on_error=policy, on_missing=policy)
    with pytest.raises(NonFiniteEmbeddingError, match="'Broken' gives NaN or infinite numbers for 2 of 2 rows, in flo"):
        encoder.transform(crops[:2])
    assert rows_in(store) == 0


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_single_overflow_is_named_and_the_other_rows_are_stored(runtime, crops, store):
    encoder = featx.ImageEncoder(wrap(Overflowing()), runtime=runtime, cache=store, on_error="nan")
    white = np.full((32, 32, 3), 255, np.uint8)
    images = pd.Series([*crops[:5], white, crops[5], white], index=list("abcdefgh"))
    with pytest.raises(NonFiniteEmbeddingError) as raised:
        encoder.transform(images)
    assert raised.value.table["index"].tolist() == ["f", "h"]
    assert "row 5" in str(raised.value)
    assert rows_in(store) == 6
    assert np.isfinite(encoder.transform(images.drop(["f", "h"]))).all()


def test_a_broken_network_is_given_up_early(crops, store, monkeypatch):
    monkeypatch.setattr(_table, "_CHUNKS", (64, 64))
    images = [np.full((32, 32, 3), i, np.uint8) for i in range(200)]
    images += [np.roll(crops[i % 40], i, axis=1) for i in range(300)]
    with pytest.raises(NonFiniteEmbeddingError) as raised:
        featx.ImageEncoder(wrap(Broken()), cache=store).transform(images)
    assert 200 <= len(raised.value.rows) < 500


def test_the_length_of_an_embedding_is_told_by_the_store_without_the_network(tiny, crops, store):
    encoder = featx.ImageEncoder(tiny, layers="conv1", cache=store)
    encoder.transform(crops[:2])
    assert Extraction(extraction_of(encoder).specs, store, Options(device="cuda:99")).dims() == (6,)


def test_two_encoders_in_one_store_never_mix(crops, store):
    one = featx.ImageEncoder(tiny_encoder(0), cache=store).transform(crops[:3])
    two = featx.ImageEncoder(tiny_encoder(1), cache=store).transform(crops[:3])
    assert not np.allclose(one, two)
    assert len(store.info()) == 2


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often each JPEG is opened."""
    counts, original = Counter(), builtins.open

    def counting(file, *arguments, **options):
        if str(file).endswith(".jpg"):
            counts[str(file)] += 1
        return original(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", counting)
    return counts


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Files are read five at a time."""
    monkeypatch.setattr("featx.images._source._PART_FILES", 5)


@pytest.mark.parametrize("cached", [True, False])
def test_a_cold_file_is_hashed_once(tiny, files, store, monkeypatch, cached):
    from featx.images._pixel_path import digest_file

    hashed = Counter()

    def counting(data: bytes) -> bytes:
        hashed[data] += 1
        return digest_file(data)

    for name in ("_pixel_path", "_source"):
        monkeypatch.setattr(f"featx.images.{name}.digest_file", counting)
    featx.ImageEncoder(tiny, cache=store if cached else False).transform(files)
    assert hashed == {Path(file).read_bytes(): 1 for file in files}


@pytest.mark.parametrize("cached", [True, False])
def test_a_cold_file_is_opened_once(tiny, files, store, opened, cached):
    rows = featx.ImageEncoder(tiny, cache=store if cached else False).transform(files)
    assert opened == dict.fromkeys(files, 1)
    assert np.isfinite(rows).all()


def test_a_file_that_is_remembered_is_opened_once_to_be_encoded_and_then_never(tiny, remembered, store, opened):
    encoder = featx.ImageEncoder(tiny, cache=store)
    rows = encoder.transform(remembered)
    assert opened == dict.fromkeys(remembered, 1)
    np.testing.assert_array_equal(encoder.transform(remembered), rows)
    assert opened == dict.fromkeys(remembered, 1)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("layers", [None, ["conv1", "conv2"]])
def test_parts_of_a_column_give_the_rows_of_the_whole(tiny, files, crops, store, small_parts, caplog, cached, layers):
    caplog.set_level("INFO", "featx")
    images = [files[3], crops[30], *files, crops[31], *files[4:9], crops[30], Path(files[2]).read_bytes()]
    encoder = featx.ImageEncoder(tiny, layers=layers, cache=store if cached else False)
    rows = encoder.transform(images)
    assert "rows=22 hits=8 encoded=14 failed=0" in caplog.text
    for image, row in zip(images, rows, strict=True):
        (alone,) = featx.ImageEncoder(tiny, layers=layers, cache=False).transform([image])
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-5)


def test_bad_files_of_any_part_are_listed_in_the_end(tiny, files, crops, truncated, store, small_parts):
    images = [crops[30], *files[:7], truncated, "nowhere.jpg", *files[7:], truncated, None]
    encoder = featx.ImageEncoder(tiny, cache=store, on_missing="nan")
    with pytest.raises(ImageReadError) as raised:
        encoder.transform(images)
    assert raised.value.table["position"].tolist() == [8, 9, 15]
    assert rows_in(store) == 13
    encoder.set_params(on_error="nan")
    with pytest.warns(ImageWarning, match="4 of 17"):
        rows = encoder.transform(images)
    assert np.flatnonzero(np.isnan(rows).any(axis=1)).tolist() == [8, 9, 15, 16]


def test_the_bar_counts_the_files_that_no_store_has(tiny, files, crops, store, small_parts, monkeypatch):
    encoder = featx.ImageEncoder(tiny, cache=store, verbose=0)
    encoder.transform(files[8:10])
    bars = []

    def open_bar(total: int, **_options) -> tqdm:
        bars.append(tqdm(total=total, file=io.StringIO()))
        return bars[-1]

    monkeypatch.setattr(module, "progress_bar", open_bar)
    encoder.transform([crops[30], *files])
    (bar,) = bars
    assert (bar.n, bar.total) == (11, 11)
