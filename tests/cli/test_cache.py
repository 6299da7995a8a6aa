from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.cli import main
from tests.cli.processes import COMMAND, environment, featx_command


@pytest.fixture
def location(tmp_path, monkeypatch) -> Path:
    """A store of five rows by one encoder and three by another; the default one."""
    monkeypatch.setenv("FEATX_CACHE", str(tmp_path / "cache"))
    store = featx.EmbeddingStore()
    for name, n in (("small", 5), ("large", 3)):
        keys = np.arange(16 * n, dtype=np.uint8).reshape(n, 16)
        fingerprint = name.encode().hex().ljust(64, "0")
        store.put_many(fingerprint, keys, np.ones((n, 4), np.float32), {"encoder": {"name": name}})
    return store.location


def rows_left(location: Path) -> int:
    return int(featx.EmbeddingStore(location).info()["rows"].sum())


def damage(location: Path) -> None:
    segment = next(path for path in location.rglob("*") if path.is_file() and path.suffix not in (".json", ".lock"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    segment.write_bytes(data)


def test_info_is_a_line_an_encoder(location, capsys):
    assert main(["cache", "info"]) == 0
    first, header, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{location}: 8 embeddings, ")
    assert header.split()[0] == "encoder"
    assert {line.split()[0] for line in lines} == {"small", "large"}


def test_info_is_a_document(location, capsys):
    assert main(["cache", "info", "--json", "--cache", str(location)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["location"] == str(location)
    assert {(record["encoder"], record["rows"]) for record in document["encoders"]} == {("small", 5), ("large", 3)}


def test_an_empty_cache_is_no_error(tmp_path, capsys):
    assert main(["cache", "info", "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 0 embeddings, 0.0 MB\n"
    assert main(["cache", "verify", "--cache", str(tmp_path)]) == 0


@pytest.mark.parametrize("action", ["info", "verify", "clear"])
def test_a_folder_that_is_not_there_is_named(action, tmp_path, capsys):
    assert main(["cache", action, "--cache", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not there" in capsys.readouterr().err


def test_damage_is_found_and_status_1(location, capsys):
    assert main(["cache", "verify"]) == 0
    assert capsys.readouterr().out.endswith(": 8 embeddings, 0 of 2 files damaged\n")
    damage(location)
    assert main(["cache", "verify"]) == 1
    line, summary = capsys.readouterr().out.splitlines()
    assert Path(line.partition(": ")[0]).is_file()
    assert summary.endswith("1 of 2 files damaged")
    assert main(["cache", "verify", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["damaged"]) == 1


def test_nothing_is_deleted_where_nobody_can_be_asked(location):
    done = featx_command("cache", "clear", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Add --yes" in done.stderr
    assert rows_left(location) == 8


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 8), ("\n", 1, 8)])
def test_somebody_on_a_terminal_is_asked(location, answer, status, left):
    terminal, ours = pty.openpty()
    os.write(terminal, answer.encode())
    done = subprocess.run(
        [*COMMAND, "cache", "clear"], stdin=ours, capture_output=True, env=environment(), text=True, check=False
    )
    os.close(terminal)
    os.close(ours)
    assert (done.returncode, rows_left(location)) == (status, left)
    assert f"Delete all embeddings in {location}? [y/N]" in done.stderr


def test_one_encoder_is_cleared_without_asking(location, capsys):
    assert main(["cache", "clear", "--encoder", "small", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] > 0
    assert rows_left(location) == 3
    assert main(["cache", "clear", "--encoder", "small", "--yes"]) == 2
    assert "Unknown encoder in this store 'small'" in capsys.readouterr().err
