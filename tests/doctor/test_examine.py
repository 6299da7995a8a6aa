from __future__ import annotations

from featx.doctor import examine
from tests.test_init import HEAVY, modules_after


def test_this_machine_is_well_and_the_last_line_says_where_encoding_runs(files):
    findings = list(examine(files[0]))
    assert [finding for finding in findings if finding.status == "bad"] == []
    assert [finding.what for finding in findings[:3]] == ["processor", "vector instructions", "memory"]
    assert [finding.what for finding in findings[-2:]] == ["images", "encoding"]


def test_nothing_compiled_is_imported_by_the_examination_itself():
    code = "from featx.doctor import examine\nfor finding in examine():\n  if finding.what == 'import PIL': break"
    assert not modules_after(code) & {"sklearn", "pandas", "numpy", "PIL", *HEAVY}
