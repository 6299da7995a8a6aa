from __future__ import annotations

import asyncio

import pytest
from PIL import Image

import featx
from featx.deploy.service._memory import Room
from featx.deploy.service._request import Unreadable
from featx.deploy.service._workers import Workers
from tests.deploy.service.serving import as_file


@pytest.fixture
def answer(served_bundle):
    """Asks workers with room for decoding 20 MB."""
    predictor = featx.Predictor(served_bundle, n_jobs=1, max_pixels=10_000_000)
    workers = Workers(predictor, 2, Room(20_000_000))
    yield lambda *images, names=("label",): asyncio.run(workers.answer({"image": images}, names))
    workers.close()


def test_answers_are_in_the_rows_order(answer, served_bundle, jpegs):
    expected = featx.Predictor(served_bundle).predict(jpegs)
    assert [row.outputs["label"] for row in answer(*jpegs)] == expected.tolist()


def test_a_bad_row_has_its_reason_and_no_outputs(answer, jpegs):
    rows = answer(b"text", jpegs[0], None, Unreadable("no base64"))
    assert [bool(row.outputs) for row in rows] == [False, True, False, False]
    assert [row.error.split(":")[0] for row in rows] == ["not an image", "", "missing (None)", "image"]


def test_large_images_take_turns_and_are_answered(answer, photos):
    large = as_file(Image.fromarray(photos[0]).resize((2000, 1500)))  # 13.5 MB each
    rows = answer(*[large] * 4, names=("label", "probabilities"))
    assert all(set(row.outputs) == {"label", "probabilities"} for row in rows)


def test_an_image_that_no_room_is_large_enough_for_is_too_large(answer, jpegs):
    large = as_file(Image.new("RGB", (3000, 2000)))
    rows = answer(large, jpegs[0])
    assert "27 MB to decode, more than the 20 MB" in rows[0].error
    assert [row.too_large for row in rows] == [True, False]


def test_more_pixels_than_the_limit_are_too_large(answer):
    (row,) = answer(as_file(Image.new("1", (20_000, 20_000)), "PNG"))
    assert row.too_large
    assert "400,000,000 pixels, more than the limit of 10,000,000" in row.error


def test_room_is_given_back_when_decoding_fails(answer):
    broken = as_file(Image.effect_noise((2000, 1500), 50))[:20_000]
    for _ in range(3):
        rows = answer(broken, broken)
        assert all("damaged" in row.error for row in rows)
