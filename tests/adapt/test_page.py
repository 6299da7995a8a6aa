from __future__ import annotations

import re
import sys

import pytest

from featx.exceptions import MissingDependencyError, ParameterError
from tests.adapt.test_result import report_of
from tests.adapt.test_verdict import outcomes_of


def page_of(tmp_path, *notes, **given):
    report = report_of(outcomes_of(**given), notes)
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


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ParameterError, match="cannot be written"):
        page_of(tmp_path / "nowhere", source=0.5, coral=0.8)


def test_a_missing_jinja_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[report\]"):
        page_of(tmp_path, source=0.5, coral=0.8)
