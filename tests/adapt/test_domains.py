from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import featx
from featx.adapt._domains import read_domains
from featx.exceptions import FeatxWarning, ImageWarning, InputError
from tests.adapt.gaussians import draw_domain

Zs, YS = draw_domain(12, 0)
Zt, YT = draw_domain(9, 1)


@pytest.fixture
def encoder(tiny):
    return featx.ImageEncoder(tiny, cache=False, verbose=0)


def test_embeddings_are_taken_as_they_are(encoder):
    domains = read_domains(Zs, YS, pd.DataFrame(Zt), YT, encoder)
    np.testing.assert_array_equal(domains.Zs, Zs)
    np.testing.assert_array_equal(domains.Zt, Zt)
    assert domains.yt.tolist() == YT.tolist()
    assert domains.notes == []


def test_images_are_embedded_from_files_and_arrays_alike(encoder, files, crops):
    domains = read_domains(files[:6], ["a", "b"] * 3, crops[:4], None, encoder)
    assert domains.Zs.shape == (6, 8)
    np.testing.assert_allclose(domains.Zt, encoder.transform(crops[:4]))
    assert domains.yt is None


def test_labels_of_any_kind_are_numbered_alike_in_both_domains(encoder):
    names = np.array(["cat", "dog", "emu"])
    domains = read_domains(Zs, names[YS], Zt, pd.Series(names[YT], dtype="category"), encoder)
    assert domains.classes.tolist() == ["cat", "dog", "emu"]
    np.testing.assert_array_equal(domains.ys, YS)
    np.testing.assert_array_equal(domains.yt, YT)


def test_bad_images_are_left_out_with_a_note_and_a_warning(encoder, crops):
    images = [*crops[:5], "missing.jpg"]
    with pytest.warns(ImageWarning, match=r"1 of 6 rows of the target .* Rows 5\.") as warned:
        domains = read_domains(crops[:4], [0, 1, 0, 1], images, [0, 1, 0, 1, 1, 0], encoder)
    assert len(warned) == 1
    assert domains.yt.tolist() == [0, 1, 0, 1, 1]
    assert domains.notes == ["1 of 6 rows of the target cannot be used and are left out."]


def test_columns_of_frames_are_compared_by_name(encoder):
    source, target = pd.DataFrame(Zs, columns=[*"abcdefgh"]), pd.DataFrame(Zt, columns=[*"abcdefgh"])
    domains = read_domains(source, YS, target[[*"hgfedcba"]], None, encoder)
    np.testing.assert_array_equal(domains.Zt, Zt)


def test_rows_that_are_not_finite_are_left_out(encoder):
    damaged = Zs.copy()
    damaged[[2, 7], 0] = np.nan, np.inf
    with pytest.warns(ImageWarning, match="2 of 12 rows of the source"):
        domains = read_domains(damaged, YS, Zt, None, encoder)
    np.testing.assert_array_equal(domains.ys, np.delete(YS, [2, 7]))


def test_a_class_that_the_source_lacks_is_warned_of_and_never_right(encoder):
    with pytest.warns(FeatxWarning, match=r"1 of the target's 3 classes are not in the source \(2\)"):
        domains = read_domains(Zs, np.minimum(YS, 1), Zt, YT, encoder)
    assert domains.classes.tolist() == [0, 1, 2]
    assert set(domains.yt) - set(domains.ys) == {2}
    assert "count as wrong" in domains.notes[0]


def test_a_class_that_the_target_lacks_is_noted(encoder):
    domains = read_domains(Zs, YS, Zt, np.minimum(YT, 1), encoder)
    assert domains.notes[0].startswith("1 of the source's 3 classes are not in the target (2)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((Zs, YS, Zt, YT + 3), r"classes 0, 1, 2 in the source and 3, 4, 5 in the target: they share none"),
        ((Zs, YS, Zt, YT.astype(str)), "they share none"),
        ((Zs, np.zeros(12), Zt, YT), "In the source: Got y with one class"),
        ((Zs, YS, Zt, np.zeros(9)), "In the target: Got y with one class"),
        ((Zs, YS[:-1], Zt, YT), r"In the source: Got y of shape \(11,\) for 12 rows"),
        ((Zs, YS, Zt, YT[:-1]), r"In the target: Got y of shape \(8,\) for 9 rows"),
        ((Zs, YS, Zt[:, :5], YT), "Got 8 columns in Xs and 5 in Xt"),
        ((Zs, YS, np.full((9, 8), np.nan), YT), "9 rows in the target of which none can be used"),
        ((Zs, YS, "photo.jpg", YT), "a single str"),
        ((Zs, [None, *YS[1:]], Zt, YT), "no label in rows 0"),
        ((Zs[:0], [], Zt, YT), "In the source: Got y with no label"),
        ((Zs, YS, Zt[:0], None), "no rows in the target"),
        ((Zs, YS, ["photo.jpg"] * 9, YT), "embeddings in Xs and images in Xt"),
        ((["photo.jpg"] * 12, YS, Zt, YT), "images in Xs and embeddings in Xt"),
    ],
)
def test_what_cannot_be_compared_is_said(given, message, encoder):
    with pytest.raises(InputError, match=message):
        read_domains(*given, encoder)


def test_a_source_whose_second_class_cannot_be_read_is_refused(encoder):
    damaged = Zs.copy()
    damaged[YS > 0] = np.nan
    with pytest.warns(ImageWarning), pytest.raises(InputError, match="one class only"):
        read_domains(damaged, YS, Zt, None, encoder)
