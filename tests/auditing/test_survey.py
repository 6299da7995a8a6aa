import numpy as np

from featx.auditing._survey import survey
from featx.images import MAX_PIXELS


def test_one_look_tells_errors_digests_and_looks(files):
    seen = survey([files[0], None, files[1], "nowhere.jpg", files[0]], MAX_PIXELS)
    assert seen.errors == ["", "missing (None)", "", "no such file", ""]
    assert seen.digests[0] == seen.digests[4] != seen.digests[2]
    assert seen.looks.any(axis=(1, 2)).tolist() == [True, False, True, False, True]
    assert sorted(seen.sample) == [0, 2, 4]


def test_the_sample_is_spread_evenly(crops):
    seen = survey(crops * 5, MAX_PIXELS)
    assert len(seen.sample) == 100
    assert (np.diff(sorted(seen.sample)) <= 3).all()


def test_too_large_an_image_has_its_reason(crops):
    assert "pixels" in survey(crops[:1], 100).errors[0]
