import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from featx.exceptions import ParameterError
from featx.pages import figure, thumbnail, write_page

TEMPLATE = """{% extends "base.html" %}
{% import "macros.html" as m %}
{% block body %}<h1>{{ title }}</h1>{{ m.table(["a"], rows, 0) }}{% endblock %}
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(TEMPLATE)
    return path


def test_a_page_holds_its_values_escaped(template, tmp_path):
    page = write_page(tmp_path / "out.html", template, title="a & b", rows=[["<script>"]]).read_text()
    assert "<h1>a &amp; b</h1>" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_a_page_asks_for_nothing_from_a_network(template, tmp_path):
    page = write_page(tmp_path / "out.html", template, title="a", rows=[]).read_text()
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", page)


def test_a_folder_that_does_not_exist_is_an_error(template, tmp_path):
    with pytest.raises(ParameterError, match=r"nowhere/out\.html cannot be written"):
        write_page(tmp_path / "nowhere" / "out.html", template, title="a", rows=[])


def test_a_page_that_fails_leaves_the_older_one(template, tmp_path):
    (tmp_path / "out.html").write_text("older")
    with pytest.raises(Exception, match="rows"):
        write_page(tmp_path / "out.html", template, title="a")
    assert (tmp_path / "out.html").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "page.html"]


def test_a_figure_is_an_element_of_svg():
    from matplotlib.figure import Figure

    chart = Figure(figsize=(2, 1))
    chart.add_subplot().plot([0, 1])
    assert figure(chart).startswith("<svg")
    assert figure(chart).rstrip().endswith("</svg>")


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_photo_is_drawn_small_and_keeps_its_shape(photos):
    picture = decoded(thumbnail(photos[0], side=96))
    assert picture.format == "JPEG"
    assert picture.size == (96, 64)


def test_a_tiny_image_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    assert (np.asarray(decoded(thumbnail(pixels)).convert("L")) == pixels).all()


def test_an_image_that_cannot_be_read_has_no_picture(tmp_path):
    assert thumbnail(tmp_path / "missing.jpg") == ""
