from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import featx
from featx.compare._plots import SHEET_COLUMNS, SIDE, confusion, draw_sheet, embed_plane, map_rows, suspects_section
from featx.exceptions import ParameterError
from featx.images import as_column
from tests.compare.test_transfer_report import IMAGES, LABELS, report_of
from tests.networks import tiny_encoder
from tests.pages.browser import needs_a_browser, open_page, outside, sync_api


@pytest.fixture(scope="module")
def report():
    return report_of()


@pytest.fixture(scope="module")
def page_file(report, tmp_path_factory):
    return report.to_html(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(browser, page_file):
    with open_page(browser, page_file) as page:
        yield page


def test_the_page_begins_with_the_verdict(report, page_file):
    text = page_file.read_text()
    assert text.index(report.verdict.partition(" (")[0]) < text.index("<svg")
    assert page_file.stat().st_size < 1_000_000


def test_classes_that_are_numbers_keep_their_names(tmp_path):
    labels = LABELS.astype(int)
    labels[0] = (labels[0] + 1) % 3  # a mistake to show
    text = report_of(labels=labels).to_html(tmp_path / "report.html").read_text()
    assert re.search(r"is \d<", text)
    assert not re.search(r"(is|predicted) \d\.0", text)


@needs_a_browser
def test_the_page_asks_no_network_and_shows_the_image_pointed_at(opened):
    canvas, hover = opened.locator("#plane"), opened.locator("#hover")
    canvas.scroll_into_view_if_needed()
    x, y = opened.evaluate("place(7)")
    canvas.hover(position={"x": x, "y": y})
    sync_api.expect(hover.locator("i")).to_have_count(1)
    number = opened.evaluate("chosen")
    sync_api.expect(hover).to_contain_text(f"is {LABELS[number]}")
    assert hover.locator("i").evaluate("i => getComputedStyle(i).backgroundImage").startswith('url("data:image/jpeg')


@needs_a_browser
def test_a_class_of_the_legend_is_shown_alone(opened):
    buttons = opened.locator("#legend button")
    assert buttons.count() == 3
    buttons.nth(1).click()
    assert opened.evaluate("alone") == 1
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    buttons.nth(1).click()
    assert opened.evaluate("alone") == -1


@needs_a_browser
def test_the_page_fits_a_narrow_window(opened):
    opened.set_viewport_size({"width": 380, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 380


def test_the_matrix_counts_every_image(report, page_file):
    table = page_file.read_text().partition('<div class="matrix"')[2].partition("</table>")[0]
    counts = [int(cell) for cell in re.findall(r"predicted [^>]*>(\d+)<", table)]
    assert sum(counts) == len(report.predictions)


def test_labels_cannot_become_markup(tmp_path):
    report = report_of(labels=np.where(LABELS == "0", "</script><b>", LABELS))
    text = report.to_html(tmp_path / "report.html").read_text()
    assert "<b>" not in text
    assert text.count("</script>") == 1


def test_numbers_have_a_page_without_classes(tmp_path):
    brightness = np.array([image.mean() for image in IMAGES]) / 7
    text = report_of(labels=brightness, head="ridge").to_html(tmp_path / "report.html").read_text()
    assert "What is taken for what" not in text
    assert "Learning curves" in text


def test_a_folder_that_does_not_exist_is_an_error(report, tmp_path):
    with pytest.raises(ParameterError, match="cannot be written"):
        report.to_html(tmp_path / "nowhere" / "report.html")


def report_of_classes(names, per_class):
    """A report of noise around one color a class."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (len(names), 3))
    y = np.repeat(np.arange(len(names)), per_class)
    images = [np.clip(colors[i] + rng.normal(0, 60, (16, 16, 3)), 0, 255).astype(np.uint8) for i in y]
    return report_of(
        images, np.array(names)[y], feature_sets=["color", "pretrained"], head="prototype", sizes=[2 * len(names)]
    )


LONG = [f"{'a subspecies of a class with a long name'} number {i}" for i in range(13)] + ["w" * 60]
SHORT = [f"c{i:02}" for i in range(100)]


@needs_a_browser
@pytest.mark.parametrize(("names", "per_class"), [(LONG, 6), (SHORT, 3)], ids=["14 long names", "100 short names"])
def test_many_classes_lie_within_the_page_and_within_their_figures(browser, names, per_class, tmp_path):
    file = report_of_classes(names, per_class).to_html(tmp_path / "report.html")
    with open_page(browser, file) as page:
        assert page.locator("#legend button").all_text_contents() == sorted(names)
        assert page.locator(".matrix tbody tr").count() == len(names)
        assert page.locator(".matrix thead th").count() == len(names)
        for width in (1280, 1024, 380):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert outside(page, "main *", "main", without=".scroll *" if width < 1000 else "") == []
            assert outside(page, "#map *", "#map") == []
            assert outside(page, "#legend button, #legend span", "#legend") == []
            assert outside(page, "#matrix *", "#matrix") == []
            last = page.locator(".matrix tbody tr").last.locator("td").last.bounding_box()
            assert min(last["width"], last["height"]) > 1


@needs_a_browser
def test_the_legend_of_the_curves_lies_within_their_figure(browser, tmp_path):
    from sklearn.dummy import DummyClassifier

    rivals = {f"an estimator with quite a long name, number {i}": DummyClassifier() for i in range(12)}
    file = report_of(extra_feature_sets=rivals, sizes=[40]).to_html(tmp_path / "report.html")
    with open_page(browser, file) as page:
        assert page.locator("#curves svg #legend_1").count() == 1
        assert outside(page, "#curves svg #legend_1, #curves svg #legend_1 *", "#curves svg") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1100
        assert outside(page, "main *", "main") == []


@pytest.mark.parametrize(
    ("names", "numbered", "upright", "counted"),
    [
        (["no", "yes"], False, True, True),
        (LONG, True, True, True),
        ([name * 3 for name in SHORT[:40]], False, False, True),
        ([f"a name of class {i}" for i in range(60)], True, False, False),
        (SHORT, False, False, False),
    ],
)
def test_the_matrix_names_columns_as_there_is_room(names, numbered, upright, counted):
    found = confusion(names, [*names[1:], names[0]], names)
    assert (found["numbered"], found["upright"], found["counted"]) == (numbered, upright, counted)
    assert found["heads"] == ([str(i + 1) for i in range(len(names))] if numbered else names)
    assert [name for name, _ in found["rows"]] == names
    assert found["rows"][0][1][1] == (1, 1.0, f"{names[0]}, predicted {names[1]}: 1")


def test_more_classes_than_cells_can_show_have_no_matrix(tmp_path):
    text = report_of_classes([f"c{i:03}" for i in range(101)], 3).to_html(tmp_path / "report.html").read_text()
    assert "What is taken for what" not in text
    assert "Map of the embeddings" in text


def test_two_heaps_stay_apart():
    rng = np.random.default_rng(0)
    plane = embed_plane(rng.normal(size=(60, 20)) + np.repeat([[0], [20]], 30, axis=0))
    assert plane.min() >= 0
    assert plane.max() <= 1
    first, second = plane[:30].mean(axis=0), plane[30:].mean(axis=0)
    assert np.linalg.norm(first - second) > 2 * plane[:30].std()


@pytest.mark.parametrize("n", [5, 12])
def test_a_few_points_have_a_place_each(n):
    assert np.isfinite(embed_plane(np.random.default_rng(0).normal(size=(n, 8)))).all()


def test_constant_embeddings_lie_in_one_place():
    assert (embed_plane(np.ones((6, 4))) == 0.5).all()


def test_many_rows_are_sampled_the_same_each_time():
    rows = map_rows(5000)
    assert len(set(rows)) == 2000
    assert (np.diff(rows) > 0).all()
    assert (rows == map_rows(5000)).all()


def test_pictures_stand_in_rows_of_the_sheet():
    n = SHEET_COLUMNS + 2
    sources = [np.full((9, 9), 20 if i == n - 1 else 200, np.uint8) for i in range(n)]
    sheet = Image.open(io.BytesIO(base64.b64decode(draw_sheet(sources).partition(",")[2]))).convert("L")
    assert sheet.size == (SIDE * SHEET_COLUMNS, SIDE * 2)
    middle = SIDE // 2
    assert abs(sheet.getpixel((middle, SIDE + middle)) - 200) < 9
    assert abs(sheet.getpixel((SIDE + middle, SIDE + middle)) - 20) < 9


def test_2000_photos_are_a_small_sheet(crops):
    sheet = draw_sheet([crops[i % len(crops)] for i in range(2000)])
    assert len(sheet) < 3_000_000


def test_an_image_that_is_gone_stays_gray():
    assert draw_sheet(["missing.jpg"]).startswith("data:image/jpeg")


@pytest.fixture(scope="module")
def suspects():
    """Of digits with one copied under another label."""
    images, labels = [*IMAGES, IMAGES[0]], [*LABELS, LABELS[1]]
    return suspects_section(as_column(images), labels, None, False, featx.ImageEncoder(tiny_encoder(), verbose=0))


def test_a_copy_with_another_label_comes_first(suspects):
    names = [name for _, _, name in suspects.groups[0]]
    assert names == ["image 0", "image 90"]
    assert [lines for _, lines, _ in suspects.groups[0]] == [[f"is {LABELS[0]}"], [f"is {LABELS[1]}"]]
    assert "in 1 groups with different labels" in suspects.text


def test_what_is_shown_has_a_picture(suspects):
    for picture, lines, _ in [*suspects.tiles, *suspects.groups[0]]:
        assert picture.startswith("data:image/")
        assert all(line.startswith(("is ", "more like ")) for line in lines)


def test_numbers_to_predict_are_not_audited():
    encoder = featx.ImageEncoder(tiny_encoder(), verbose=0)
    suspects = suspects_section(as_column(IMAGES), [image.mean() / 7 for image in IMAGES], None, True, encoder)
    assert suspects.title == "Copies"
    assert suspects.tiles == []
    assert any("not judged" in text for text in suspects.remarks)
