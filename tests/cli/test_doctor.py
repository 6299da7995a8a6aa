from __future__ import annotations

import json
import re

from featx.cli._doctor import report
from featx.doctor import Finding
from tests.cli.processes import environment, featx_command

FINE, BROKEN = Finding("warn", "memory", "1 GB", "buy some"), Finding("bad", "weights", "damaged", "reinstall")


def test_something_broken_is_status_1(tmp_path):
    (tmp_path / "pandas.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    path = environment()["PYTHONPATH"]
    done = featx_command("doctor", env=environment(PYTHONPATH=f"{tmp_path}:{path}"))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert all(re.fullmatch(r"(ok|warn|bad)  +[\w -]+: .+", line) for line in lines), done.stdout
    bad = [line for line in lines if line.startswith("bad")]
    assert bad[0].startswith("bad   load pandas: ImportError: libgomp.so.1")
    assert bad[0].endswith("-> install the missing library with the system's package manager")
    assert "  encoding: " in lines[-1]


def test_a_warning_is_status_0(capsys):
    assert report([FINE], as_json=False) == 0
    assert capsys.readouterr().out == f"{FINE}\n"


def test_json_is_one_document(capsys):
    assert report(iter([FINE, BROKEN]), as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "findings": [
            {"status": "warn", "what": "memory", "value": "1 GB", "advice": "buy some"},
            {"status": "bad", "what": "weights", "value": "damaged", "advice": "reinstall"},
        ],
    }
