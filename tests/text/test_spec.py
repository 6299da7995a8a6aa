from __future__ import annotations

import json
import shutil

import pytest

from featx.exceptions import WeightsError
from featx.text import read_spec
from tests.text.models import MODEL, copy_model, needs_model

pytestmark = needs_model


def fingerprint(folder) -> str:
    return read_spec("any", folder).fingerprint()


def test_the_default_models_fingerprint_is_for_ever():
    assert fingerprint(MODEL) == "e648ba5236d0a0a87cd67bda3d614b0e98cb6e8c421b66cc50cf95550a43bc15"


def test_it_is_taken_over_configurations_tokenizer_and_weights():
    spec = read_spec("mini", MODEL)
    assert {name for name, _ in spec.files} == {
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    assert spec.weights == "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_where_it_lies_what_it_is_called_and_what_is_no_part_of_it_change_nothing(tmp_path):
    folder = copy_model(tmp_path / "another name")
    (folder / "README.md").write_text("rewritten")
    (folder / "data_config.json").unlink()
    for export in ("onnx/model.onnx", "onnx/config.json", "pytorch_model.bin"):
        (folder / export).parent.mkdir(exist_ok=True)
        (folder / export).write_bytes(b"for another runtime")
    assert fingerprint(folder) == fingerprint(MODEL)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.json", '"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-6'),
        ("1_Pooling/config.json", '"pooling_mode_mean_tokens": true', '"pooling_mode_mean_tokens": false'),
        ("sentence_bert_config.json", "256", "128"),
        ("tokenizer_config.json", '"do_lower_case": true', '"do_lower_case": false'),
        ("vocab.txt", "shirt", "shrit"),
    ],
    ids=lambda value: value,
)
def test_whatever_changes_the_numbers_changes_it(tmp_path, name, old, new):
    folder = copy_model(tmp_path / "changed")
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), "utf-8")
    assert fingerprint(folder) != fingerprint(MODEL)


def test_other_weights_are_another_model(tmp_path):
    folder = copy_model(tmp_path / "trained")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"others")
    assert fingerprint(folder) != fingerprint(MODEL)


def test_the_older_format_of_weights_counts_where_it_is_the_only_one(tmp_path):
    folder = copy_model(tmp_path / "old")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    names = [name for name, _ in read_spec("old", folder).files]
    assert "pytorch_model.bin" in names


def test_a_model_of_transformers_alone_has_no_list_of_modules(tmp_path):
    folder = copy_model(tmp_path / "plain")
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    assert "config.json" in dict(read_spec("plain", folder).files)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no text model\. Expected a folder that sentence-transformers"):
        read_spec("empty", tmp_path)
    folder = copy_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no text model"):
        read_spec("without weights", folder)


@pytest.mark.parametrize("content", ["{", "[1]", '[{"name": "0"}]', '{"path": "x"}', "null"])
def test_a_damaged_list_of_modules_names_itself(tmp_path, content):
    folder = copy_model(tmp_path / "model")
    (folder / "modules.json").write_text(content)
    with pytest.raises(WeightsError, match=r"modules\.json is damaged"):
        read_spec("damaged", folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc"])
def test_a_module_outside_of_the_folder_is_refused(tmp_path, path):
    folder = copy_model(tmp_path / "model")
    (folder / "modules.json").write_text(json.dumps([{"path": ""}, {"path": path}]))
    with pytest.raises(WeightsError, match="lies outside"):
        read_spec("reaching", folder)
