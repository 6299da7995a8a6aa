from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import featx
from featx.cli import main
from featx.images import DigestMemo, FileState
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


ACTIONS = ["info", "verify", "compact", "prune --max-bytes 0", "export -o e.parquet", "clear"]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_folder_that_is_not_there_is_named(action, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["cache", *action.split(), "--cache", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not there" in capsys.readouterr().err


def test_a_url_is_no_folder_that_is_not_there(capsys):
    main(["cache", "info", "--cache", "memory://bucket"])
    assert "is not there" not in capsys.readouterr().err


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


def test_what_is_repaired_is_bad_no_more(location, capsys):
    damage(location)
    assert main(["cache", "verify", "--repair"]) == 0
    line, summary = capsys.readouterr().out.splitlines()
    assert line.endswith("; repaired")
    assert summary.endswith("1 of 2 files damaged")
    assert main(["cache", "verify"]) == 0


def test_compacting_leaves_one_segment_an_encoder(location, capsys):
    store = featx.EmbeddingStore()
    store.put_many(b"small".hex().ljust(64, "0"), np.ones((1, 16), np.uint8), np.ones((1, 4), np.float32), {})
    assert store.info()["segments"].sum() == 3
    assert main(["cache", "compact"]) == 0
    assert capsys.readouterr().out.startswith(f"{location}: 9 embeddings in 2 segments, ")
    assert main(["cache", "compact", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["segments"]) == (9, 2)
    assert document["bytes"] == store.info()["bytes"].sum()


def test_what_was_not_used_for_long_is_pruned(location, capsys):
    for path in (location / b"small".hex().ljust(32, "0")).iterdir():
        os.utime(path, (0, 0))
    assert main(["cache", "prune", "--unused-for", "30d", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] > 0
    assert featx.EmbeddingStore().info()["encoder"].tolist() == ["large"]


def test_what_is_beyond_a_size_is_pruned(location, capsys):
    assert main(["cache", "prune", "--max-bytes", "1MB", "--yes"]) == 0
    assert rows_left(location) == 8
    assert main(["cache", "prune", "--max-bytes", "0", "--yes"]) == 0
    assert rows_left(location) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{location}: 0.0 MB deleted"


def test_prune_has_to_be_told_what(location, capsys):
    assert main(["cache", "prune", "--yes"]) == 2
    assert "Got neither --max-bytes nor --unused-for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(("--max-bytes", text) for text in ("ten GB", "10 gigabytes", "-1", "1e9", "", "10G", "5m")),
        *(("--unused-for", text) for text in ("30", "30 days", "-1d", "1M", "", "10GB", "9999999999999999d")),
    ],
)
def test_what_is_no_size_or_no_duration_is_said(location, capsys, option, text):
    with pytest.raises(SystemExit, match="2"):
        main(["cache", "prune", f"{option}={text}", "--yes"])
    expected = "expected a size: 500MB, 10GB" if option == "--max-bytes" else "expected a duration: 90m, 12h, 30d"
    assert f"got {text!r}; {expected}" in capsys.readouterr().err
    assert rows_left(location) == 8


def test_an_export_has_the_paths_of_files_that_were_read_here(location, files, tmp_path, capsys):
    (first, path), *_ = featx.known_paths(files).items()
    keys = np.frombuffer(bytes.fromhex(first), np.uint8).reshape(1, 16)
    featx.EmbeddingStore().put_many(b"small".hex().ljust(64, "0"), keys, np.ones((1, 4), np.float32), {})
    state = FileState.of(os.stat(path))
    DigestMemo().record([(path, state, keys.tobytes())], since=state.changed + 3 * 10**9)
    output = tmp_path / "e.parquet"
    assert main(["cache", "export", "--encoder", "small", "-o", str(output)]) == 0
    assert capsys.readouterr().err == f"6 embeddings: {output}\n"
    table = pd.read_parquet(output)
    assert table.loc[table["path"].notna(), ["digest", "path"]].to_numpy().tolist() == [[first, path]]
    assert np.stack(table["embedding"]).shape == (6, 4)
    assert main(["cache", "export", "--encoder", "large", "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"location": str(location), "file": str(output), "rows": 3}


def test_an_export_of_several_encoders_lists_them(location, tmp_path, capsys):
    assert main(["cache", "export", "-o", str(tmp_path / "e.parquet")]) == 2
    error = capsys.readouterr().err
    assert all(f"{name.encode().hex().ljust(16, '0')}  {name}" in error for name in ("small", "large"))
    assert not (tmp_path / "e.parquet").exists()


def test_an_export_into_no_folder_is_refused(location, capsys):
    assert main(["cache", "export", "--encoder", "small", "-o", "nowhere/e.parquet"]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["clear", "prune --max-bytes 0"])
def test_nothing_is_deleted_where_nobody_can_be_asked(location, action):
    done = featx_command("cache", *action.split(), stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Add --yes" in done.stderr
    assert rows_left(location) == 8


@pytest.mark.parametrize(
    ("action", "question", "answer", "status", "left"),
    [
        ("clear", "all embeddings", "y\n", 0, 0),
        ("clear", "all embeddings", "n\n", 1, 8),
        ("clear", "all embeddings", "\n", 1, 8),
        ("prune --unused-for 12h", "what was not used for 12:00:00", "n\n", 1, 8),
        ("prune --max-bytes 0", "what is beyond 0.0 MB", "yes\n", 0, 0),
    ],
)
def test_somebody_on_a_terminal_is_asked(location, action, question, answer, status, left):
    terminal, ours = pty.openpty()
    os.write(terminal, answer.encode())
    done = subprocess.run(
        [*COMMAND, "cache", *action.split()], stdin=ours, capture_output=True, env=environment(), text=True, check=False
    )
    os.close(terminal)
    os.close(ours)
    assert (done.returncode, rows_left(location)) == (status, left)
    assert f"Delete {question} in {location}? [y/N]" in done.stderr


def test_info_describes_a_store_whose_cards_are_lost(location, capsys):
    for card in location.glob("*/encoder.json"):
        card.unlink()
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.count("NaT") == 2
    assert main(["cache", "info", "--json"]) == 0
    assert [one["last_used"] for one in json.loads(capsys.readouterr().out)["encoders"]] == [None, None]


def test_one_encoder_is_cleared_without_asking(location, capsys):
    assert main(["cache", "clear", "--encoder", "small", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] > 0
    assert rows_left(location) == 3
    assert main(["cache", "clear", "--encoder", "small", "--yes"]) == 2
    assert "Unknown encoder in this store 'small'" in capsys.readouterr().err
