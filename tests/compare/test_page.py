from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from featx.exceptions import ParameterError
from tests.compare.test_transfer_report import IMAGES, LABELS, report_of

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def report():
    return report_of()


@pytest.fixture(scope="module")
def page_file(report, tmp_path_factory):
    return report.to_html(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(page_file):
    """The page in a browser; requests and complaints fail the test."""
    complaints = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        own = (page_file.as_uri(), "data:")
        page.on("request", lambda request: None if request.url.startswith(own) else complaints.append(request.url))
        page.goto(page_file.as_uri())
        yield page
        browser.close()
    assert not complaints


def test_the_page_says_the_verdict_first(report, page_file):
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
    table = page_file.read_text().partition('class="matrix"')[2].partition("</table>")[0]
    counts = [int(cell) for cell in re.findall(r'rgb[^>]*">(\d+)<', table)]
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


def test_a_folder_that_is_not_there_is_said(report, tmp_path):
    with pytest.raises(ParameterError, match="cannot be written"):
        report.to_html(tmp_path / "nowhere" / "report.html")
