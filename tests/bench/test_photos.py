from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from featx import check_images
from featx.bench import write_photos
from featx.bench._photos import find_photos
from featx.exceptions import InputError


@pytest.fixture
def folder(files, crops, tmp_path) -> Path:
    """The files of a user: twelve JPEGs, nested ones of other formats, a broken one, a copy, a text."""
    folder = Path(files[0]).parent
    (folder / "deep" / "er").mkdir(parents=True)
    Image.fromarray(crops[20]).save(folder / "deep" / "a.png")
    Image.fromarray(crops[21]).convert("L").save(folder / "deep" / "er" / "b.WEBP")
    (folder / "broken.jpg").write_bytes(Path(files[0]).read_bytes()[:500])
    (folder / "notes.txt").write_text("no image")
    shutil.copy(files[3], folder / "deep" / "copy.jpg")
    return folder


def test_nested_images_of_any_format_are_found_and_the_others_are_left_out_with_a_reason(folder):
    photos = find_photos([folder], 100)
    assert len(photos.paths) == 14
    assert {"a.png", "b.WEBP"} <= {Path(path).name for path in photos.paths}
    reasons = {Path(path).name: reason for path, reason in photos.left_out}
    assert set(reasons) == {"broken.jpg", "copy.jpg"}
    assert reasons["copy.jpg"] == "a copy of another image"
    assert reasons["broken.jpg"]


def test_a_limit_looks_at_files_from_all_over_the_folder(folder):
    photos = find_photos([folder], 5)
    assert [Path(path).name for path in photos.paths] == ["00.jpg", "03.jpg", "06.jpg", "09.jpg"]
    assert [Path(path).name for path, _ in photos.left_out] == ["broken.jpg"]


def test_files_and_folders_may_be_mixed_and_named_twice(folder, files):
    assert find_photos([files[0], files[1], files[0]], 9).paths == (files[0], files[1])
    assert len(find_photos([files[0], folder / "deep"], 9).paths) == 4


def test_without_a_readable_image_the_first_reason_is_told(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match=r"None of 1 images can be read.*empty\.jpg: the file is empty"):
        find_photos([tmp_path], 9)
    with pytest.raises(InputError, match="nowhere is not there"):
        find_photos([tmp_path / "nowhere"], 9)


def test_photos_that_are_written_are_distinct_and_of_a_usual_size(tmp_path):
    paths = write_photos(tmp_path, 60)
    table = check_images(paths)
    assert table["digest"].nunique() == 60
    assert set(zip(table["width"], table["height"], strict=True)) == {(500, 375)}
    assert 30_000 < sum(Path(path).stat().st_size for path in paths) / 60 < 70_000
