from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import featx
from featx.exceptions import ImageWarning, InputError, ParameterError
from featx.images import find_images


@pytest.fixture
def folder(tmp_path):
    """Writes files below a folder, empty ones but those that have a content."""

    def write(*names: str, **contents: bytes) -> Path:
        for name, content in {**dict.fromkeys(names, b""), **contents}.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "data"

    return write


def below(root: Path, table: pd.DataFrame) -> list[str]:
    return [Path(image).relative_to(root).as_posix() for image in table["image"]]


def test_images_are_labelled_by_the_first_folder_they_lie_in(folder):
    root = folder("dog/2.jpg", "cat/1.PNG", "cat/deep/3.webp", "dog/1.jpeg")
    table = featx.read_image_folder(root)
    assert list(table) == ["image", "label"]
    assert below(root, table) == ["cat/1.PNG", "cat/deep/3.webp", "dog/1.jpeg", "dog/2.jpg"]
    assert table["label"].tolist() == ["cat", "cat", "dog", "dog"]


def test_hidden_files_and_other_suffixes_are_passed_over(folder):
    root = folder("cat/1.jpg", "cat/._1.jpg", "cat/notes.txt", "cat/jpg", ".cache/2.jpg", "cat/vector.eps", "Thumbs.db")
    (root / "cat" / "folder.jpg").mkdir()
    assert below(root, featx.read_image_folder(root)) == ["cat/1.jpg"]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Valid", "Testing"),
        ("TRAIN", "dev", "holdout"),
        ("train_set", "validation-set", "test set"),
        ("train2017", "val2017", "test2017"),
        ("trainset", "devset", "testset"),
        ("TrainImages", "eval", "hold-out"),
        ("training_data", "Evaluation", "Test_Data"),
    ],
)
def test_splits_are_found_where_every_folder_is_one(folder, train, validation, test):
    table = featx.read_image_folder(
        folder(f"{train}/cat/1.jpg", f"{train}/dog/1.jpg", f"{validation}/cat/2.jpg", f"{test}/cat/3.jpg")
    )
    assert list(table) == ["image", "label", "split"]
    assert sorted(zip(table["split"], table["label"], strict=True)) == [
        *(("test", "cat"), ("train", "cat"), ("train", "dog"), ("val", "cat"))
    ]
    assert table.attrs["splits"] == {train: "train", validation: "val", test: "test"}


def test_images_of_a_split_without_labels_have_none(folder):
    table = featx.read_image_folder(folder("train/cat/1.jpg", "test/cat/2.jpg", "unlabeled/3.jpg", "unlabeled/x/4.jpg"))
    assert table["split"].tolist() == ["test", "train", "unlabeled", "unlabeled"]
    assert table["label"][:2].tolist() == ["cat", "cat"]
    assert table["label"][2:].isna().all()


def test_a_split_within_a_split_of_its_kind_is_no_label(folder):
    table = featx.read_image_folder(folder("seg_train/seg_train/sea/1.jpg", "seg_test/seg_test/sea/2.jpg"))
    assert table["label"].tolist() == ["sea", "sea"]
    assert table["split"].tolist() == ["test", "train"]


def test_splits_can_be_named(folder):
    root = folder("Training/cat/1.jpg", "fold B/cat/2.jpg", "fold B/dog/2.jpg")
    table = featx.read_image_folder(root, split={"Training": "train", "fold B": "test"})
    assert table["split"].tolist() == ["train", "test", "test"]
    assert table["label"].tolist() == ["cat", "cat", "dog"]
    with pytest.raises(InputError, match=r"holds the folder 'fold B'. Expected split= to name each"):
        featx.read_image_folder(root, split={"Training": "train"})
    with pytest.raises(ParameterError, match=r"Unknown folder in split= 'Trainings'. Did you mean 'Training'"):
        featx.read_image_folder(root, split={"Trainings": "train"})
    with pytest.raises(InputError, match=r"0\.jpg lies in no split's folder"):
        featx.read_image_folder(folder("0.jpg"), split={"Training": "train", "fold B": "test"})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/cat/1.jpg", "a/dog/1.jpg", "b/cat/1.jpg", "b/dog/1.jpg"], r"a, b of .* the same folders \(cat, dog\)"),
        (
            ["train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg", "extra/cat/1.jpg"],
            r"pass split=\{'extra': 'train', 'test': 'test', \.\.\.\}",
        ),
        (["data/train/cat/1.jpg", "data/test/cat/1.jpg"], r"named like splits \(test, train\)\. Is .* too high"),
    ],
)
def test_labels_that_look_like_splits_are_told(folder, names, said):
    root = folder(*names)
    with pytest.warns(ImageWarning, match=said):
        table = featx.read_image_folder(root)
    assert set(table["label"]) == {name.split("/")[0] for name in names}
    featx.read_image_folder(root, split=None)  # warnings are errors here


@pytest.mark.parametrize("inner", ["images", "deep/images"])
def test_labels_that_hold_a_folder_each_look_like_no_splits(folder, inner):
    table = featx.read_image_folder(folder(f"cat/{inner}/1.jpg", f"dog/{inner}/1.jpg", "fox/1.jpg"))
    assert table["label"].tolist() == ["cat", "dog", "fox"]


def test_a_folder_that_is_no_split_makes_all_of_them_labels(folder):
    table = featx.read_image_folder(folder("train/1.jpg", "test/1.jpg", "plane/1.jpg"))
    assert "split" not in table
    assert sorted(table["label"]) == ["plane", "test", "train"]


def test_splits_can_be_declined(folder):
    root = folder("train/cat/1.jpg", "test/cat/1.jpg")
    assert featx.read_image_folder(root, split=None)["label"].tolist() == ["test", "train"]


JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
LEFT_OUT = {
    "cat/1.jpg.1": (JPEG, "a variant of an image (suffix '.1')"),
    "cat/1.JPG_original": (JPEG, "a variant of an image (suffix '.JPG_original')"),
    "cat/1.jpeg_large": (JPEG, "a variant"),
    "cat/1.png~": (b"\x89PNG\r\n\x1a\n", "a variant"),
    "cat/1.jpg.part": (JPEG, "a variant"),
    "cat/1.psd": (b"8BPS\0\1", "cannot be read (Photoshop)"),
    "cat/1.NEF": (b"MM\0*" + bytes(8), "cannot be read (camera raw)"),
    "cat/1.CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "cannot be read (camera raw)"),
    "cat/1.svg": (b"<?xml version='1.0'?>\n<svg>", "cannot be read (SVG)"),
    "cat/1.jxl": (b"\xff\x0a\x00", "cannot be read (JPEG XL)"),
    "cat/drawing": (b"8BPS\0\1", "cannot be read (Photoshop)"),
}
TAKEN = {
    "cat/as jpeg": JPEG,
    "cat/as png": b"\x89PNG\r\n\x1a\n",
    "cat/as gif": b"GIF89a",
    "cat/as webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "cat/as tiff": b"II*\0\x08\0\0\0",
    "cat/as bmp": b"BM" + bytes(12) + b"\x28\0\0\0",
    "cat/as ppm": b"P6\n8 8\n255\n",
    "cat/as avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
    "cat/as avif of mif1": b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf",
    "cat/as heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "cat/as heic of mif1": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
}
NO_IMAGES = {
    "cat/README": b"Photos of cats.",
    "cat/BMW": b"BMW is a car",
    "cat/P4": b"P4 is a processor",
    "cat/clip.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "cat/notes.xml": b"<?xml version='1.0'?><notes/>",
    "cat/empty": b"",
}


def test_what_looks_like_an_image_and_is_left_out_is_told_once(folder):
    root = folder("cat/2.jpg", "cat/3.HEIC", **{name: data for name, (data, _) in LEFT_OUT.items()})
    with pytest.warns(ImageWarning, match=r"^Left out 11 files that look like images .* and 6 more\)") as told:
        table = featx.read_image_folder(root)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert below(root, table) == ["cat/2.jpg", "cat/3.HEIC"]
    left_out = {Path(path).relative_to(root).as_posix(): reason for path, reason in table.attrs["left_out"].items()}
    assert left_out.keys() == LEFT_OUT.keys()
    for name, reason in left_out.items():
        assert LEFT_OUT[name][1] in reason


def test_images_without_a_suffix_are_taken_and_other_files_are_passed_over(folder):
    table = featx.read_image_folder(root := folder("cat/1.jpg", **TAKEN, **NO_IMAGES))
    assert below(root, table) == sorted(["cat/1.jpg", *TAKEN])
    assert table.attrs["left_out"] == {}


def test_a_folder_of_nothing_but_what_is_left_out_says_so(folder):
    with pytest.raises(InputError, match=r"holds no images .*, but 1 files that look like images .*1\.psd"):
        featx.read_image_folder(folder(**{"cat/1.psd": b"8BPS\0\1"}))


def test_the_housekeeping_of_systems_is_no_label(folder):
    names = ["@eaDir", "__MACOSX", "lost+found", "#recycle", "$RECYCLE.BIN", "System Volume Information"]
    root = folder("cat/1.jpg", *(f"{name}/1.jpg" for name in names), *(f"cat/{name}/1.jpg" for name in names))
    assert below(root, featx.read_image_folder(root)) == ["cat/1.jpg"]


def test_a_pipe_is_never_opened(folder):
    root = folder("cat/1.jpg")
    os.mkfifo(root / "cat" / "pipe")
    assert below(root, featx.read_image_folder(root)) == ["cat/1.jpg"]


def test_images_without_a_label_are_listed_where_none_is_wanted(folder):
    root = folder("1.jpg", "more/2.jpg")
    table = featx.read_image_folder(root, label=None)
    assert list(table) == ["image"]
    assert below(root, table) == ["1.jpg", "more/2.jpg"]


@pytest.mark.parametrize("names", [["1.jpg", "cat/2.jpg"], ["train/1.jpg", "train/cat/2.jpg", "test/cat/3.jpg"]])
def test_an_image_outside_of_a_labels_folder_is_refused(folder, names):
    with pytest.raises(InputError, match=r"1\.jpg lies in no label's folder.*label=None"):
        featx.read_image_folder(folder(*names))


def test_a_folder_that_is_not_there_or_holds_no_images_is_named(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere is not there"):
        featx.read_image_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a file"):
        featx.read_image_folder(folder("a/1.jpg") / "a" / "1.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        featx.read_image_folder(tmp_path / "empty")


@pytest.mark.parametrize("wrong", [{"label": "name"}, {"split": "train"}])
def test_a_wrong_parameter_is_named(folder, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ParameterError, match=f"Got {name}={value!r}"):
        featx.read_image_folder(folder("a/1.jpg"), **wrong)


def test_links_are_followed_and_circles_of_links_end(folder, tmp_path):
    root = folder("cat/1.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.jpg").touch()
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "fox").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "up").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(root / "cat")
    found = below(root, featx.read_image_folder(root))
    assert found == ["cat/1.jpg", *("dog/2.jpg", "dog/back/1.jpg", "fox/2.jpg", "fox/back/1.jpg")]


def test_names_that_are_no_text_are_listed(folder):
    root = folder("cat/1.jpg")
    try:
        Path(root, "cat", os.fsdecode(b"\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    table = featx.read_image_folder(root)
    assert [os.path.basename(os.fsencode(image)) for image in table["image"]] == [b"1.jpg", b"\xff.jpg"]
    assert featx.check_images(table["image"])["error"].tolist() == ["the file is empty (0 bytes)"] * 2


def test_relative_folders_and_the_home_folder_are_understood(folder, monkeypatch):
    root = folder("cat/1.jpg")
    monkeypatch.chdir(root.parent)
    assert featx.read_image_folder("data")["image"].tolist() == [os.path.join("data", "cat", "1.jpg")]
    monkeypatch.setenv("HOME", str(root.parent))
    assert featx.read_image_folder("~/data")["label"].tolist() == ["cat"]


def test_images_of_folders_and_files_are_found_in_order_and_once(folder):
    root = folder("a/2.jpg", "a/deep/3.jpg", "b/1.jpg", "b/notes.txt")
    given = [root / "b" / "1.jpg", root / "a", str(root), root / "b" / "notes.txt"]
    images, left_out = find_images(given)
    found = [Path(file).relative_to(root).as_posix() for file in images]
    assert left_out == {}
    assert found == ["b/1.jpg", "a/2.jpg", "a/deep/3.jpg", "b/notes.txt"]


def test_a_source_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match=r"nowhere is not there. Expected a folder of images, or image files"):
        find_images([folder("a/1.jpg"), "nowhere"])


def test_good_images_are_described(files):
    table = featx.check_images(files[:2])
    assert list(table) == ["image", "ok", "error", "format", "mode", "width", "height", "digest", "note"]
    assert table["image"].tolist() == files[:2]
    assert table["ok"].tolist() == [True, True]
    assert table[["error", "format", "mode", "width", "height"]].values.tolist() == [["", "JPEG", "RGB", 160, 120]] * 2
    content = b"featx:file:1\0" + Path(files[0]).read_bytes()
    assert table["digest"][0] == hashlib.sha256(content).hexdigest()[:32]


def test_bad_images_have_their_reason_in_their_row(files, crops, tmp_path):
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(Path(files[0]).read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no image")
    sources = [files[0], truncated, tmp_path / "text.jpg", None, "", b"", 3, crops[0] / 255, Image.new("F", (2, 3))]
    table = featx.check_images(pd.Series(sources, index=list("abcdefghi"), dtype=object))
    assert table.index.tolist() == list("abcdefghi")
    assert table["ok"].tolist() == [True] + [False] * 8
    expected = [
        *("", "JPEG data is damaged", "not an image", "missing (None)", "missing ('')", "empty"),
        *("a int; expected a path", "an array of float64", "mode F"),
    ]
    for error, reason in zip(table["error"], expected, strict=True):
        assert reason in error
        assert bool(error) == bool(reason)
    assert table["digest"].notna().tolist() == table["ok"].tolist()
    assert table.loc["b", ["format", "width", "height"]].tolist() == ["JPEG", 160, 120]  # its header was whole


def test_the_size_is_that_of_the_upright_image(crops):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(crops[0]).save(file, "JPEG", exif=exif)
    table = featx.check_images([file.getvalue(), Image.open(file), crops[0]])
    assert table[["width", "height"]].values.tolist() == [[120, 160], [120, 160], [160, 120]]


def test_duplicates_are_found_by_their_digest(crops):
    table = featx.check_images([crops[0], crops[1], Image.fromarray(crops[0])])
    assert table["digest"].duplicated().tolist() == [False, False, True]


def test_blank_and_very_dark_images_are_noted(crops):
    twelve_bits = np.random.default_rng(0).integers(0, 4096, (20, 30), dtype=np.uint16)
    sources = [crops[0], Image.new("RGBA", (4, 4)), Image.new("L", (4, 4), 7), Image.fromarray(twelve_bits), None]
    notes = featx.check_images(sources)["note"].tolist()
    assert notes[0] == notes[4] == ""
    assert notes[1:3] == ["blank: every pixel is (255, 255, 255)", "blank: every pixel is (7, 7, 7)"]
    assert "12-bit data" in notes[3]


def test_an_image_above_the_cap_is_not_ok(files):
    table = featx.check_images(files[:1], max_pixels=100)
    assert "max_pixels=100" in table["error"][0]
    assert table["width"][0] == 160


@pytest.mark.parametrize("images", [[], pd.Series([], dtype=object), np.zeros((0, 4, 5), np.uint8)], ids=type)
def test_no_images_are_an_empty_table(images):
    assert featx.check_images(images).shape == (0, 9)


def test_duplicate_labels_of_the_index_stay(files):
    table = featx.check_images(pd.Series(files[:2], index=["x", "x"]))
    assert table.index.tolist() == ["x", "x"]


@pytest.mark.parametrize("n_jobs", [None, 1, 3, -1, -100])
def test_the_number_of_threads_changes_nothing(files, n_jobs):
    pd.testing.assert_frame_equal(featx.check_images(files, n_jobs=n_jobs), featx.check_images(files, n_jobs=2))


@pytest.mark.parametrize("n_jobs", [0, 1.5, True, "all"])
def test_a_wrong_number_of_threads_is_named(files, n_jobs):
    with pytest.raises(ParameterError, match="Got n_jobs="):
        featx.check_images(files, n_jobs=n_jobs)


def test_a_single_image_is_refused(files):
    with pytest.raises(InputError, match=r"\[image\]"):
        featx.check_images(files[0])
