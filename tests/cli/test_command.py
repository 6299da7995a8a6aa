from __future__ import annotations

import argparse
import inspect
import json

import pytest

import featx
from featx._image_encoder import extraction_of
from featx.cli._command import add_command, add_encoder, add_json, encoder_parameters, note, print_json


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


def parameters(*arguments: str) -> dict:
    parser = argparse.ArgumentParser()
    add_encoder(parser)
    return encoder_parameters(parser.parse_args(arguments))


def test_what_is_not_chosen_stays_the_default():
    assert parameters() == {"encoder": "efficientnet_lite0"}


def test_every_option_is_a_parameter_of_the_image_encoder():
    chosen = parameters(
        *("--encoder", "resnet18", "--weights", "random", "--layers", "layer1,layer2", "--pooling", "gem"),
        *("--preprocess", "pad", "--precision", "float32", "--decode", "fast", "--device", "cuda:0,cuda:1"),
        *("--batch-size", "3", "--cache", "somewhere"),
    )
    assert chosen == {
        "encoder": "resnet18",
        "weights": "random",
        "layers": ["layer1", "layer2"],
        "pooling": "gem",
        "preprocess": "pad",
        "precision": "float32",
        "decode": "fast",
        "device": ["cuda:0", "cuda:1"],
        "batch_size": 3,
        "cache": "somewhere",
    }
    assert chosen.keys() <= inspect.signature(featx.ImageEncoder).parameters.keys()


def test_a_single_layer_and_device_need_no_list():
    assert parameters("--layers", "logits", "--device", "cpu") == {
        "encoder": "efficientnet_lite0",
        "layers": "logits",
        "device": "cpu",
    }


def test_no_cache_and_a_cache_contradict(capsys):
    assert parameters("--no-cache")["cache"] is False
    with pytest.raises(SystemExit, match="2"):
        parameters("--no-cache", "--cache", "x")
    assert "not allowed with" in capsys.readouterr().err


def test_layers_may_be_named_as_in_every_network():
    chosen = parameters("--encoder", "resnet18", "--layers", "early,late")
    assert [spec.layer for spec in extraction_of(featx.ImageEncoder(**chosen)).specs] == ["layer1", "layer3"]
