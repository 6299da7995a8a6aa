"""An audit finds what was planted, changes nothing, and says what it could not check."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import GroupKFold

from featx import ImageEncoder
from featx.auditing import audit, copy_groups, crossing_groups
from featx.auditing._audit import scan
from featx.auditing._similarity import COPY_KINDS, make_copies
from featx.exceptions import FeatxWarning, InputError
from featx.images import MAX_PIXELS


@pytest.fixture
def encoder(tiny):
    return ImageEncoder(tiny, cache=False, verbose=0)


@pytest.fixture
def run(encoder):
    return lambda X, y=None, **options: audit(X, y, encoder=encoder, verbose=0, **options)


@pytest.fixture
def planted(crops):
    """Crops, then copies of the first three, with labels; the copy of crop 1 has another label."""
    copies = [np.asarray(make_copies(Image.fromarray(crops[i]))[way]) for i, way in enumerate(["saved as JPEG"] * 2)]
    images = [*crops, *copies, crops[2]]
    labels = ["left" if i % 8 < 4 else "right" for i in range(len(crops))]
    return images, [*labels, labels[0], "other", labels[2]]


def test_copies_share_a_number_and_other_images_have_none(run, planted):
    images, labels = planted
    table = run(images, labels).table
    groups = table["duplicate_group"]
    assert [groups[i] == groups[40 + i] for i in range(3)] == [True] * 3
    assert groups[3:40].isna().all()
    assert table["duplicate_label_conflict"][[1, 41]].all()
    assert not table["duplicate_label_conflict"][[0, 2, 40, 42]].any()


def test_every_kind_of_copy_of_photos_is_found_and_no_other_pair(run, crops):
    images = crops[:27]
    copies = [np.asarray(copy) for i in range(0, 27, 3) for copy in make_copies(Image.fromarray(crops[i])).values()]
    groups = run([*images, *copies]).groups
    assert groups.tolist() == [*range(27), *np.repeat(range(0, 27, 3), len(COPY_KINDS))]


def test_blank_images_are_reported_and_never_as_copies(run, crops):
    colors = [(0, 0, 0), (255, 255, 255), (200, 30, 30)]
    blank = [Image.new("RGB", (80, 60), color) for color in colors]
    transparent = [Image.new("RGBA", (80, 60), (color, 0, 0, 0)) for color in range(3)]
    for others in ([], crops, [*crops, crops[0]]):
        audited = run([*others, *blank, *blank, *transparent], ["a"] * (len(others) + 9))
        n = len(others)
        assert audited.table["blank"].tolist() == [False] * n + [True] * 9
        assert audited.counts["blank"] == 9
        assert "9 blank" in audited.summary
        assert len(set(audited.groups[n:])) == 9
        assert audited.counts["copies"] == max(0, n - len(crops))
        assert set(range(n, n + 9)) <= set(audited.clean().index)


def test_nearly_flat_images_are_copies_if_their_color_is_the_same(run, crops):
    colors = [(0, 0, 0), (25, 25, 25), (255, 255, 255), (200, 30, 30), (30, 200, 30)]
    flat, again = ([Image.new("RGB", size, color) for color in colors] for size in ((80, 60), (30, 30)))
    for image in (*flat, *again):  # a speck: images of one color alone are blank
        image.putpixel((15, 15), tuple(abs(value - 3) for value in image.getpixel((15, 15))))
    for others in ([], crops):
        n = len(others)
        assert run([*others, *flat, *again]).groups[n:].tolist() == [*range(n, n + 5)] * 2


def test_white_icons_on_transparency_are_not_copies_of_each_other(run):
    icons = []
    for box in ((8, 8, 24, 24), (2, 2, 12, 30), (16, 4, 30, 12), (4, 20, 28, 30)):
        icon = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        icon.paste((255, 255, 255, 255), box)
        icons.append(icon)
    assert len(run(icons, list("abcd")).clean()) == 4


def test_clean_keeps_one_of_each_group_and_none_of_a_conflict(run, planted):
    images, labels = planted
    audited = run(images, labels)
    assert not {1, 40, 41, 42} & set(audited.clean().index)
    assert {0, 2} <= set(audited.clean().index)
    assert {1, 41} <= set(audited.clean(conflicts=False).index)
    assert len(audited.clean(duplicates=False, conflicts=False)) == 43
    outliers = audited.table.index[audited.table["outlier"]]
    assert not set(outliers) & set(audited.clean(outliers=True).index)
    suspected = audited.table.index[audited.table["suggested_label"].notna()]
    assert not set(suspected) & set(audited.clean(labels=True).index)


def test_no_group_crosses_a_fold(run, planted):
    images, _ = planted
    groups = run(images, groups=[*range(42), 5]).groups
    assert groups[2] == groups[5] == groups[42]  # a copy, and the user's own group
    assert crossing_groups(groups, GroupKFold(3).split(images, groups=groups)) == 0


def test_a_missing_group_joins_nothing(run, crops):
    groups = run(crops[:4], groups=["a", None, None, "a"]).groups
    assert groups.tolist() == [0, 1, 2, 0]


def test_bad_images_disturb_no_other(run, crops):
    good = run(crops).table
    images = [*crops[:5], b"no image", None, "nowhere.jpg", *crops[5:]]
    table = run(images, ["a", "b"] * 21 + ["a"]).table
    bad = [5, 6, 7]
    assert np.flatnonzero(~table["ok"]).tolist() == bad
    assert table["error"][6:8].tolist() == ["missing (None)", "no such file"]
    np.testing.assert_allclose(table["outlier_score"].drop(bad), good["outlier_score"], rtol=1e-3)
    assert table.loc[bad, ["label_quality", "outlier_score", "duplicate_group"]].isna().all(axis=None)


def test_the_index_is_kept(run, crops):
    index = [f"row {i}" for i in range(5)]
    frame = pd.DataFrame({"photo": pd.Series(crops[:5], index=index)})
    audited = run(frame, pd.Series(list("ababa"), index=index))
    assert audited.table.index.tolist() == audited.clean().index.tolist() == index


def test_wrong_labels_of_digits_are_found(run):
    pixels, true = load_digits(return_X_y=True)
    images = [np.kron(row.reshape(8, 8), np.ones((4, 4))).astype("uint8") * 15 for row in pixels[:600]]
    given = true[:600].copy()
    given[::40] = (given[::40] + 1) % 10
    audited = run(images, given)
    quality = audited.table["label_quality"]
    assert quality[::40].mean() < 0.7 * quality.mean()
    assert audited.counts["label_issues"] == audited.table["suggested_label"].notna().sum() > 0


def test_an_image_without_a_label_is_not_judged(run, crops):
    labels = [None, *["a", "b"] * 19, "a"]
    table = run(crops, labels).table
    assert np.isnan(table["label_quality"][0])
    assert table["label_quality"][1:].notna().all()


def test_a_missing_label_is_not_a_conflict(run, crops):
    table = run([crops[0], crops[0], crops[9]], ["a", np.nan, "b"]).table
    assert not table["duplicate_label_conflict"].any()


def test_whole_numbers_to_predict_are_not_judged_as_classes(run, crops):
    kilojoules = [crop.mean().round() * 10 + i for i, crop in enumerate(crops)]
    with pytest.warns(FeatxWarning, match='Pass task="regression"') as caught:
        audited = run(crops, kilojoules)
    assert len(caught) == 1
    assert audited.counts["label_issues"] == 0
    assert "Labels are numbers to predict: they are not judged." in repr(audited)
    explicit = run(crops, kilojoules, task="regression")  # a warning would be an error
    assert explicit.notes == audited.notes


def test_few_whole_numbers_are_judged_and_all_if_the_task_is_classification(run, crops):
    assert run(crops, [float(i % 2) for i in range(40)]).labels is not None
    assert run(crops, np.arange(40) // 2, task="classification").labels is not None
    assert run(crops, [i % 2 for i in range(40)], task="regression").labels is None


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a"] * 6, "one class"),
        ([0.5, 1, 2, 3, 4, 5], "numbers to predict"),
        ([None] * 6, "No readable image has a label"),
        (list("abcdef"), "two images or more"),
        (list("123456"), 'numbers to predict, pass task="regression"'),
    ],
)
def test_labels_that_cannot_be_judged_are_noted(run, crops, labels, reason):
    audited = run(crops[:6], labels)
    assert audited.labels is None
    assert reason in audited.summary
    assert audited.table["label_quality"].isna().all()


def test_a_class_of_one_image_is_noted(run, crops):
    assert "not judged: alone" in run(crops, ["a", "b"] * 19 + ["a", "alone"]).summary


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images_will_do(run, photos, n):
    audited = run(photos[:n], ["a", "b"][:n])
    assert audited.groups.tolist() == list(range(n))
    assert len(audited.clean()) == n


def test_all_the_same_is_one_group(run, crops):
    audited = run([crops[0]] * 30, ["a", "b"] * 15)
    assert audited.counts["copies"] == 29
    assert set(audited.groups) == {0}
    assert audited.clean().empty


def test_all_bad_is_reported(run):
    audited = run([None, b"", b"x"], ["a", "b", "a"])
    assert audited.counts["unreadable"] == 3
    assert np.isnan(audited.threshold)
    assert audited.clean().empty
    assert "3 unreadable" in repr(audited)


def test_another_format_of_the_same_picture_is_a_copy(run, crops):
    buffer = io.BytesIO()
    Image.fromarray(crops[3]).save(buffer, "PNG")
    groups = run([*crops, buffer.getvalue()]).groups
    assert groups[40] == groups[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": ["a"]}, "Got y of shape"),
        ({"groups": [1]}, "Got groups of shape"),
    ],
)
def test_other_lengths_are_refused(run, crops, arguments, message):
    with pytest.raises(InputError, match=message):
        run(crops[:3], **arguments)


def test_no_images_are_refused(run):
    with pytest.raises(InputError, match="no images"):
        run([])


@pytest.fixture
def audited(run, crops):
    images = [*crops, crops[0], None]
    labels = ["a", "b"] * 21
    return run(images, labels)


def test_the_summary_has_the_counts_and_the_rates(audited):
    text = repr(audited)
    assert "42 images" in text
    assert "1 unreadable" in text
    assert f"{audited.threshold:.4f}" in text
    assert "saved as JPEG" in text


def test_counts_agree_with_the_table(audited):
    counts, table = audited.counts, audited.table
    assert counts["unreadable"] == (~table["ok"]).sum() == 1
    assert counts["copies"] + counts["duplicate_groups"] == table["duplicate_group"].notna().sum()
    assert counts["label_issues"] == table["suggested_label"].notna().sum()


def test_clean_rows_are_readable_and_each_image_is_there_once(audited):
    clean = audited.clean()
    groups = audited.groups[clean.index]
    assert len(np.unique(groups)) == len(groups)
    assert audited.table.loc[clean.index, "ok"].all()


def test_one_scan_finds_errors_digests_and_signatures(files):
    found = scan([files[0], None, files[1], "nowhere.jpg", files[0]], MAX_PIXELS)
    assert found.errors == ["", "missing (None)", "", "no such file", ""]
    assert found.digests[0] == found.digests[4] != found.digests[2]
    assert found.signatures.any(axis=(1, 2)).tolist() == [True, False, True, False, True]
    assert sorted(found.sample) == [0, 2, 4]


def test_the_sample_is_spread_evenly(crops):
    found = scan(crops * 5, MAX_PIXELS)
    assert len(found.sample) == 100
    assert (np.diff(sorted(found.sample)) <= 3).all()


def test_too_large_an_image_has_its_reason(crops):
    assert "pixels" in scan(crops[:1], 100).errors[0]


def test_copies_are_grouped_as_an_audit_groups_them(run, planted):
    images, labels = planted
    assert copy_groups(images).tolist() == run(images, labels).groups.tolist()


def test_blank_images_are_copies_if_they_are_equal(crops):
    blank = [np.full((8, 8), grey, np.uint8) for grey in (0, 0, 1)]
    assert copy_groups([*crops[:2], *blank, None, b"no image"]).tolist() == [0, 1, 2, 2, 3, 4, 5]
