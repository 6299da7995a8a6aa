from __future__ import annotations

import json
import re

from featx.cli import main
from tests.cli.processes import featx_command


def test_every_finding_is_a_line_and_the_last_says_where_encoding_runs():
    done = featx_command("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(re.fullmatch(r"(ok|warn)  +[\w ]+: .+", line) for line in lines), done.stdout
    assert " encoding: will run in " in lines[-1]


def test_something_broken_is_status_1_and_part_of_the_document(tmp_path, capsys):
    (tmp_path / "garbage.jpg").write_bytes(b"garbage")
    assert main(["doctor", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    (bad,) = [finding for finding in document["findings"] if finding["status"] == "bad"]
    assert (bad["what"], bad["advice"]) == ("images", "featx check lists all")
