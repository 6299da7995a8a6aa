"""Which files embeddings are of."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

import featx
from featx.exceptions import ImageWarning
from featx.images import DigestMemo, FileState


def digests_of(paths) -> list[str]:
    return featx.check_images(paths)["digest"].tolist()


@pytest.fixture
def read_before(files):
    """Twelve files whose digests were recorded an hour after they had been written."""
    later = time.time_ns() + 3600 * 10**9
    digests = digests_of(files)
    DigestMemo().record(
        [
            (path, FileState.of(os.stat(path)), bytes.fromhex(digest))
            for path, digest in zip(files, digests, strict=True)
        ],
        since=later,
    )
    return dict(zip(digests, files, strict=True))


def test_files_that_are_named_are_known_by_the_names_that_they_were_given(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = [f"photos/{i:02}.jpg" for i in range(12)]
    assert featx.known_paths(named) == dict(zip(digests_of(files), named, strict=True))


def test_all_that_were_read_before_are_known_by_their_absolute_paths(read_before):
    assert featx.known_paths() == read_before


def test_nothing_was_read_before():
    assert featx.known_paths() == {}


def test_files_that_have_changed_or_gone_are_not_what_they_were(read_before):
    gone, changed, *others = read_before.values()
    os.unlink(gone)
    Image.new("RGB", (8, 8)).save(changed)
    assert list(featx.known_paths().values()) == others


def test_of_equal_files_the_first_is_named(files, tmp_path):
    copy = tmp_path / "copy.jpg"
    shutil.copy(files[0], copy)
    assert list(featx.known_paths([copy, files[0]]).values()) == [str(copy)]


def test_urls_are_listed_as_they_were(read_before):
    DigestMemo().record([("s3://bucket/cat.jpg", FileState(b"etag", 1), b"c" * 16)])
    assert featx.known_paths()[b"c".hex() * 16] == "s3://bucket/cat.jpg"


def test_a_part_of_an_image_has_a_digest_and_the_path_of_the_whole(files):
    box = {"image": files[0], "box": (0, 0, 20, 20)}
    whole, part = featx.known_paths([files[0], box])
    assert whole != part
    assert featx.known_paths([box]) == {part: files[0]}


def test_lists_are_taken_and_what_has_no_path_is_left_out(files):
    given = [[files[0], files[1]], None, np.zeros((8, 8, 3), np.uint8)]
    assert list(featx.known_paths(given).values()) == files[:2]


def test_images_that_cannot_be_used_are_left_out_with_a_warning(files):
    with pytest.warns(ImageWarning, match=r"1 of 13 images cannot be used, such as nowhere\.jpg: no such file"):
        assert len(featx.known_paths(["nowhere.jpg", *files])) == 12
