"""The page shows what the audit found, and stands alone."""

from __future__ import annotations

import numpy as np
import pytest

from featx import ImageEncoder
from featx.auditing import audit
from featx.exceptions import ParameterError
from tests.pages.browser import needs_a_browser, open_page


@pytest.fixture
def audited(tiny, crops, files):
    images = [*files, *crops[12:], crops[13], files[3], "nowhere.jpg", np.zeros((120, 160, 3), "uint8")]
    labels = ["<b>sky</b>", "roof"] * 22
    return audit(images, labels, encoder=ImageEncoder(tiny, cache=False), verbose=0)


@pytest.fixture
def path(audited, tmp_path):
    return audited.to_html(tmp_path / "audit.html")


def test_the_page_reports_what_the_audit_reports(audited, path):
    text = path.read_text()
    assert f"{audited.threshold:.4f}" in text
    assert "no such file" in text
    assert "&lt;b&gt;sky" in text
    assert "<b>" not in text


def test_what_is_not_shown_is_counted(audited, tmp_path):
    assert audited.counts["duplicate_groups"] > 1
    text = audited.to_html(tmp_path / "few.html", most=1).read_text()
    assert f"The first 1 of {audited.counts['duplicate_groups']} groups" in text


def test_conflicts_come_first(audited, path):
    text = path.read_text()
    assert 0 < text.index("Different labels") < text.index('<div class="group">', text.index("</style>"))


def test_nothing_found_is_reported(tiny, crops, tmp_path):
    audited = audit([crops[0], crops[30]], encoder=ImageEncoder(tiny, cache=False), verbose=0)
    text = audited.to_html(tmp_path / "audit.html").read_text()
    assert text.count("None were found.") == 2
    assert "All images can be read." in text
    assert "Labels were not judged." in text


def test_a_negative_number_to_show_is_refused(audited, tmp_path):
    with pytest.raises(ParameterError, match="Got most=-1"):
        audited.to_html(tmp_path / "audit.html", most=-1)


@needs_a_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_shows_it_without_a_network_and_without_complaint(browser, path, width):
    with open_page(browser, path, width) as page:
        widths = page.locator("img").evaluate_all("images => images.map((image) => image.naturalWidth)")
        assert widths
        assert min(widths) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
