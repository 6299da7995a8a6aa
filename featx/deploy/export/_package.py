"""Write the files of a bundle that do not depend on its numbers: the package that reads it, and how to install it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from featx._version import __version__

# Byte for byte, at the same place in the package "predictor": their relative imports hold there too.
COPIED = (
    "_machine.py",
    "_manifest.py",
    "_trusted_types.py",
    "_validate.py",
    "exceptions.py",
    "images/_accept.py",
    "images/_cell.py",
    "images/_columns.py",
    "images/_decode.py",
    "images/_pillow.py",
    "images/_jpeg.py",
    "images/_pixel_path.py",
    "images/_preprocess.py",
    "images/_read.py",
    "images/_resize.py",
    "images/_tiff.py",
    "images/_transparency.py",
    "deploy/_bundle.py",
    "deploy/_columns.py",
    "deploy/_predictor.py",
    "deploy/service/_app.py",
    "deploy/service/_request.py",
    "deploy/service/_server.py",
)
_PACKAGE = Path(__file__).parents[2]
_INIT = '''"""Predict with this bundle; no featx, no torch."""

from .deploy._predictor import Predictor

__all__ = ["Predictor"]
'''
_SERVE = '''"""Serve this bundle over HTTP; --help lists the options."""

import sys

from predictor.deploy.service._server import main

if __name__ == "__main__":
    sys.exit(main())
'''
_REQUIREMENTS = ["numpy>=1.26", "onnxruntime>=1.20", "pillow>=11.3", "simplejpeg>=1.8"]
_REQUIREMENTS_SERVE = ["-r requirements.txt", "fastapi>=0.116", "python-multipart>=0.0.20", "uvicorn>=0.32"]
_README = """# An image model

Made by featx {featx}; it runs without featx and without torch.

```sh
pip install -r requirements.txt
python -c 'from predictor import Predictor; print(Predictor().{method}({example}))'
```

As a service, with a page at http://localhost:8000 and its interface described at /docs:

```sh
pip install -r requirements-serve.txt
python serve.py
```

Limit its memory by a container: each of the `--n-jobs` threads decodes one image at a time, which takes 5 bytes per
pixel for a plain photo and up to 20 for others, of at most `--max-pixels`; beside that, up to `--queue` requests of at
most `--max-bytes` are held. Where clients are slow or not trusted, put a proxy in front of it that buffers requests and
answers, such as nginx.

- `model.onnx` takes {takes}, and gives {gives}. Any ONNX runtime can run it.
- `bundle.json` holds how images become pixels, the classes, what it was made with, how far it agrees with the
  pipeline that it was exported from, and the SHA-256 of each file; a damaged bundle is refused.
"""


def write_code(folder: Path, requirements: list[str]) -> None:
    """Write what does not depend on the model: the package, the service, the requirements."""
    for name in COPIED:
        _write(folder / "predictor" / name, (_PACKAGE / name).read_bytes())
    _write(folder / "predictor" / "__init__.py", _INIT.encode())
    for package in ("images", "deploy", "deploy/service"):
        _write(folder / "predictor" / package / "__init__.py", b"")
    _write(folder / "serve.py", _SERVE.encode())
    _write(folder / "page.html", (_PACKAGE / "deploy" / "service" / "page.html").read_bytes())
    _write(folder / "requirements.txt", _lines(sorted([*_REQUIREMENTS, *requirements])))
    _write(folder / "requirements-serve.txt", _lines(_REQUIREMENTS_SERVE))


def pixel_requirements(manifest: dict[str, Any]) -> list[str]:
    """List what turns images into pixels, beside what every bundle needs."""
    return ["cykooz-resizer>=4.0.1"] if any(entry.get("decode") == "fast" for entry in manifest["inputs"]) else []


def head_requirements(has_values: bool) -> list[str]:
    """List what a head of scikit-learn needs: the very version that it was fitted with."""
    names = [f"scikit-learn=={version('scikit-learn')}", f"skops>={version('skops')}"]
    return [*names, "pandas>=2.1"] if has_values else names


def write_readme(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``README.md``: what the bundle takes and gives, and how to predict with it."""
    _write(folder / "README.md", _readme(manifest).encode())


def _readme(manifest: dict[str, Any]) -> str:
    of_graph = [entry for entry in manifest["inputs"] if manifest["head"] == "onnx" or entry["kind"] == "image"]
    outputs = [*(manifest["outputs"] if manifest["head"] == "onnx" else []), "embedding"]
    examples = {"image": '"new.jpg"', "number": "1.5", "integer": "1", "category": '"..."'}
    columns = [f'"{entry["name"]}": [{examples[entry["kind"]]}]' for entry in manifest["inputs"]]
    return _README.format(
        featx=__version__,
        takes=", ".join(f"`{entry['tensor']}` ({_shape(entry)})" for entry in of_graph),
        gives=", ".join(f"`{name}`" for name in outputs),
        example=f"{{{', '.join(columns)}}}" if len(columns) > 1 else '["new.jpg"]',
        method="embed" if manifest["task"] == "embedding" else "predict_table",
    )


def _shape(entry: dict[str, Any]) -> str:
    if entry["kind"] == "image":
        size = entry["preprocess"]["size"]
        return f"uint8, n x {size} x {size} x 3, RGB"
    return {"number": "float32", "integer": "int64", "category": "string"}[entry["kind"]] + ", n x 1"


def _lines(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
