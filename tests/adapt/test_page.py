from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from featx.adapt import adaptation_report
from featx.exceptions import MissingDependencyError, ParameterError
from tests.adapt.gaussians import draw_domain
from tests.adapt.test_adaptation_report import made_of
from tests.adapt.test_decision import outcomes_of
from tests.pages.browser import needs_a_browser, open_page, outside


def page_of(tmp_path, *notes, **given):
    report = made_of(outcomes_of(**given), notes)
    path = report.to_html(tmp_path / "adaptation.html")
    return report, path.read_text()


def test_the_page_has_the_verdict_a_row_a_method_and_both_pictures(tmp_path):
    report, text = page_of(tmp_path, source=0.5, coral=0.8, oracle=0.9)
    first, _, rest = report.verdict.partition(". ")
    assert f"{first}.</p>" in text
    assert f"<p>{rest}</p>" in text
    assert 'class="verdict good"' in text
    assert re.findall(r"<td>(source|coral|oracle)</td>", text) == ["source", "coral", "oracle"]
    assert re.search(r'<tr class="best"><td>coral</td>', text)
    assert "<td>shrinkage=0.1</td>" in text
    assert text.count("<svg") == 2


def test_the_page_needs_no_network(tmp_path):
    _, text = page_of(tmp_path, source=0.5, coral=0.8)
    assert not re.search(r'(src|href)="http', text)


def test_what_is_not_known_is_left_out(tmp_path):
    _, text = page_of(tmp_path, labelled=False, source=0.5, coral=0.8)
    table = text.partition("<table")[2].partition("</table>")[0]
    assert re.findall(r"<th>([^<]+)</th>", table) == ["method", "chosen", "score", "proxy A", "time"]
    assert "nan" not in table
    assert "Gain:" not in text
    assert "no gain can be known" in text


def test_where_adaptation_hurts_the_source_is_the_best_row_and_there_is_no_after(tmp_path):
    _, text = page_of(tmp_path, source=0.8, coral=0.3)
    assert re.search(r'<tr class="best"><td>source</td>', text)
    assert "after source" not in text


def test_notes_are_escaped(tmp_path):
    _, text = page_of(tmp_path, "classes <b>", source=0.5, coral=0.8)
    assert "classes &lt;b&gt;" in text


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(ParameterError, match="cannot be written"):
        page_of(tmp_path / "nowhere", source=0.5, coral=0.8)


def test_a_missing_jinja_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[report\]"):
        page_of(tmp_path, source=0.5, coral=0.8)


@needs_a_browser
@pytest.mark.parametrize(
    ("names", "n"),
    [([f"a subspecies of a class with a long name, number {i}" for i in range(14)], 84), (range(100, 200), 600)],
    ids=["14 long names", "100 short names"],
)
@pytest.mark.parametrize("labeled", [True, False])
def test_many_classes_lie_within_the_page_and_within_their_figures(browser, names, n, labeled, tmp_path, one_value):
    names = np.array([f"{name}" for name in names])
    (Zs, ys), (Zt, yt) = (draw_domain(n, seed, moved=seed > 0, classes=len(names)) for seed in (0, 1))
    y_target = names[np.minimum(yt, len(names) - 3)] if labeled else None  # notes name the missing ones
    given = {"methods": ["standardize", "coral"], "scorer": "entropy", "cv": 3, "verbose": 0}
    file = adaptation_report(Zs, names[ys], Zt, y_target, **given).to_html(tmp_path / "adaptation.html")
    assert ("classes are not in the target" in file.read_text()) == labeled
    with open_page(browser, file) as page:
        assert page.locator("svg").count() == 2
        assert page.locator("#domains svg #legend_1").count() == 1
        for width in (1280, 1024, 380):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert outside(page, "main *", "main", without="svg *, .scroll *" if width < 1000 else "svg *") == []
            assert outside(page, "svg [id^=legend_] *, svg [id^=text_]", "svg") == []
