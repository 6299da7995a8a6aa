import numpy as np
import pytest

from featx.compare._suspects import find_suspects
from tests.compare.test_transfer_report import IMAGES, LABELS, report_of


@pytest.fixture(scope="module")
def suspects():
    """Of digits with one copied under another label."""
    images, labels = [*IMAGES, IMAGES[0]], [*LABELS, LABELS[1]]
    return find_suspects(report_of(images, labels))


def test_a_copy_with_another_label_comes_first(suspects):
    names = [name for _, _, name in suspects.groups[0]]
    assert names == ["image 0", "image 90"]
    assert [lines for _, lines, _ in suspects.groups[0]] == [[f"is {LABELS[0]}"], [f"is {LABELS[1]}"]]
    assert suspects.counts["conflicting_groups"] == 1


def test_what_is_shown_has_a_picture(suspects):
    for picture, lines, _ in [*suspects.labels, *suspects.groups[0]]:
        assert picture.startswith("data:image/")
        assert all(line.startswith(("is ", "more like ")) for line in lines)


def test_numbers_to_predict_are_not_judged():
    brightness = np.array([image.mean() for image in IMAGES]) / 7
    suspects = find_suspects(report_of(labels=brightness, head="ridge"))
    assert suspects.labels == []
    assert any("not judged" in text for text in suspects.explanations)
