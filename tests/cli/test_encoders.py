from __future__ import annotations

import json

import pytest

import featx
from featx.cli import main


def test_every_encoder_is_a_line(capsys):
    assert main(["encoders"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["name", "weights", "dim"]
    assert len(lines) == len(featx.list_encoders())


@pytest.mark.parametrize(("pattern", "expected"), [("lite1", {"efficientnet_lite1"}), ("resnet1?", {"resnet18"})])
def test_a_pattern_chooses_by_name(pattern, expected, capsys):
    assert main(["encoders", pattern, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert {record["name"] for record in records} == expected
    assert records[0].keys() == set(featx.list_encoders().columns)


def test_local_ones_have_their_weights_here(capsys):
    assert main(["encoders", "--local", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert "efficientnet_lite0" in {record["name"] for record in records}
    assert all(record["local"] for record in records)


def test_an_unknown_name_has_its_close_matches(capsys):
    assert main(["encoders", "resnet19"]) == 2
    assert "Did you mean 'resnet1" in capsys.readouterr().err


def test_an_empty_answer_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert main(["encoders", "vit_h_14", "--local"]) == 0
    assert capsys.readouterr() == ("", "None of them have their weights on this machine.\n")
