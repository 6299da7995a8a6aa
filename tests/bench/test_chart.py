from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from featx.bench import check_chart, draw_chart
from featx.exceptions import UnknownNameError
from tests.bench.results import make_result


def test_the_picture_has_a_panel_for_each_result_on_a_light_ground(tmp_path):
    draw_chart([make_result()], tmp_path / "one.png")
    draw_chart([make_result(), make_result()], tmp_path / "two.PNG")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.PNG") as two:
        assert two.height > 1.5 * one.height
        assert one.getpixel((2, 2))[:3] == (255, 255, 255)
        assert len(np.unique(np.asarray(one).reshape(-1, 4), axis=0)) > 10


def test_bars_are_labelled_and_peers_without_a_figure_are_not_drawn(tmp_path):
    words = svg_words([make_result()], tmp_path / "a.svg")
    assert {"resnet18", "featx", "60.0", "slow 1.0"} <= words
    assert "20.0   3.0\N{MULTIPLICATION SIGN} slower" in words
    assert not any("absent" in word for word in words)


def test_without_peers_the_parts_are_drawn(tmp_path):
    assert {"decode alone", "encode alone", "featx"} <= svg_words([make_result(peers=())], tmp_path / "a.svg")


def test_an_unknown_format_is_refused_before_anything_is_measured():
    with pytest.raises(UnknownNameError, match=r"'.gif'.*'.png'"):
        check_chart("chart.gif")


def svg_words(results, path) -> set[str]:
    draw_chart(results, path)
    return set(re.findall(r"<!-- (.*?) -->", path.read_text()))
