from __future__ import annotations

import json
import subprocess
import sys

import pytest

import featx

HEAVY = ("torch", "torchvision", "timm", "openvino", "onnxruntime")


def modules_after(code: str) -> set[str]:
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_featx_is_light():
    assert not modules_after("import featx") & {"sklearn", "pandas", "numpy", "PIL", *HEAVY}


def test_the_image_encoder_needs_no_torch():
    assert not modules_after("import featx; featx.ImageEncoder()") & set(HEAVY)


def test_the_image_encoder_adds_little_to_the_import_of_scikit_learn():
    """tests/benchmarks/imports.py measures the seconds."""
    before = modules_after("import sklearn.base, sklearn.pipeline, numpy")
    added = {name.partition(".")[0] for name in modules_after("import featx; featx.ImageEncoder()") - before}
    added -= {name for name in added if name.startswith("_cython")}  # what compiled modules share
    assert added - set(sys.stdlib_module_names) <= {"featx", "PIL", "lazy_loader", "platformdirs", "simplejpeg"}


@pytest.mark.parametrize("name", [name for name in featx.__all__ if name != "__version__"])
def test_every_public_name_is_there_documented_and_listed(name):
    assert getattr(featx, name).__doc__
    assert name in dir(featx)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"ImageEncode$"):
        featx.ImageEncode  # noqa: B018
