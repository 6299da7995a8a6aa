from __future__ import annotations

from pathlib import Path

import pytest

from featx._atomic import atomic_file, atomic_folder, check_new_folder
from featx.exceptions import ModelError, StoreError

KIND = {"marker": "card.json", "error": ModelError}


def write(target: Path, content: str) -> None:
    with atomic_folder(target, **KIND) as new:
        (new / "card.json").write_text(content)


def test_a_folder_appears_when_all_is_written(tmp_path):
    with atomic_folder(tmp_path / "a", **KIND) as new:
        (new / "card.json").write_text("1")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_one_of_its_kind_is_replaced_with_all_that_is_in_it(tmp_path):
    write(tmp_path / "a", "1")
    (tmp_path / "a" / "left over").touch()
    write(tmp_path / "a", "2")
    assert [(path.name, path.read_text()) for path in (tmp_path / "a").iterdir()] == [("card.json", "2")]


def test_an_error_on_the_way_leaves_what_was_there(tmp_path):
    write(tmp_path / "a", "1")
    with pytest.raises(RuntimeError, match="half-way"), atomic_folder(tmp_path / "a", **KIND):
        raise RuntimeError("half-way")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "card.json").read_text() == "1"


def test_a_disk_that_fails_is_told_as_this_kinds_error_and_ours_as_they_are(tmp_path):
    with pytest.raises(ModelError, match="cannot be written: disk full"), atomic_folder(tmp_path / "a", **KIND):
        raise OSError("disk full")
    with pytest.raises(StoreError), atomic_folder(tmp_path / "a", **KIND):
        raise StoreError("no store")


def test_what_is_something_else_is_not_touched(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "file").touch()
    for name, reason in (("photos", "something else"), ("file", "is a file"), ("no/where", "there is no folder")):
        with pytest.raises(ModelError, match=reason):
            check_new_folder(tmp_path / name, **KIND)
    check_new_folder(tmp_path / "new", **KIND)


def test_a_file_appears_when_it_is_whole(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with atomic_file(file) as temporary:
        temporary.write_text("new")
        assert (file.read_text(), temporary.suffix, temporary.parent) == ("old", ".txt", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "new")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_work_that_fails_leaves_the_old_file_and_no_other(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def work():
        with atomic_file(file) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        work()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic_file(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert [(tmp_path / name).read_text() for name in ("file", "link")] == ["old", "new"]
    assert not (tmp_path / "link").is_symlink()


def test_nothing_is_written_where_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "none" / "a.txt") as temporary:
        temporary.write_text("new")
