from __future__ import annotations

import argparse
import json

import pytest

from featx.cli._command import add_command, add_json, note, print_json


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="featx")
    commands = parser.add_subparsers()
    command = add_command(
        commands, "go", lambda parsed: 7, help="go", description="Goes.", examples="\nfeatx go\nfeatx go --json\n"
    )
    add_json(command)
    return parser


def test_a_command_is_run_by_what_it_was_declared_with(parser):
    parsed = parser.parse_args(["go"])
    assert parsed.run(parsed) == 7
    assert (parsed.json, parser.parse_args(["go", "--json"]).json) == (False, True)


def test_examples_keep_their_lines(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["go", "--help"])
    assert capsys.readouterr().out.endswith("examples:\n  featx go\n  featx go --json\n")


def test_a_document_goes_to_stdout_and_a_note_to_stderr(capsys):
    print_json({"a": [1, None]})
    note("by the way")
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"a": [1, None]}
    assert shown.err == "by the way\n"


def test_what_json_lacks_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"score": float("nan")})
