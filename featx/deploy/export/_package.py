"""Write the files of a bundle that do not depend on its numbers: the package that reads it, and how to install it."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from featx._version import __version__
from featx.deploy.batch import label_fields
from featx.deploy.export._card import as_code, describe, headline, render
from featx.deploy.export._diagram import DIAGRAM, diagram

# Byte for byte, at the same place in the package "predictor": their relative imports hold there too.
COPIED = (
    "_exit_status.py",
    "_machine.py",
    "_manifest.py",
    "_trusted_types.py",
    "_validate.py",
    "_warnings.py",
    "exceptions.py",
    "images/_accept.py",
    "images/_cell.py",
    "images/_columns.py",
    "images/_decode.py",
    "images/_files.py",
    "images/_pillow.py",
    "images/_jpeg.py",
    "images/_pixel_path.py",
    "images/_preprocess.py",
    "images/_read.py",
    "images/_resize.py",
    "images/_several.py",
    "images/_tiff.py",
    "images/_transparency.py",
    "deploy/_bundle.py",
    "deploy/_columns.py",
    "deploy/_predictor.py",
    "deploy/_tensors.py",
    "deploy/batch/_options.py",
    "deploy/batch/_output.py",
    "deploy/batch/_run.py",
    "deploy/batch/_source.py",
    "deploy/service/_access.py",
    "deploy/service/_app.py",
    "deploy/service/_keys.py",
    "deploy/service/_log.py",
    "deploy/service/_metrics.py",
    "deploy/service/_models.py",
    "deploy/service/_request.py",
    "deploy/service/_schema.py",
    "deploy/service/_server.py",
    "deploy/service/_workers.py",
)
_PACKAGE = Path(__file__).parents[2]
PAGES = Path(__file__).parent / "pages"
_INIT = '''"""Predict with this bundle; no featx, no torch."""

from .deploy._predictor import Predictor

__all__ = ["Predictor"]
'''
_PROGRAM = '''"""{does}; --help lists the options."""

import sys

try:
    from predictor.{module} import main
except KeyboardInterrupt:  # importing takes a moment
    sys.exit(130)
except ModuleNotFoundError as error:
    is_ours = (error.name or "").startswith("predictor")
    todo = "Copy the bundle again, with all its files." if is_ours else "Run: pip install -r {requirements}"
    print(f"{name}: error: {{error}}. {{todo}}", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
'''
_PROGRAMS = {
    "predict.py": {
        "does": "Answer a folder or a table of images with this bundle",
        "module": "deploy.batch._run",
        "requirements": "requirements.txt",
    },
    "serve.py": {
        "does": "Serve this bundle over HTTP",
        "module": "deploy.service._server",
        "requirements": "requirements-serve.txt",
    },
}
_REQUIREMENTS = ["numpy>=1.26", "onnxruntime>=1.20", "pillow>=11.3", "simplejpeg>=1.8"]
_REQUIREMENTS_SERVE = [
    "-r requirements.txt",
    "fastapi>=0.116",
    "fastapi-offline>=1.7",
    "httptools>=0.6.3",
    "prometheus-client>=0.20",
    "pydantic>=2.5",
    "python-multipart>=0.0.20",
    "starlette>=0.40",
    "uvicorn>=0.32",
]
_README = """# {title}

{summary}

## Predict

```sh
pip install -r requirements.txt
python -c {code}
```

pip finds all of it built for Linux (x86-64 and ARM, with glibc: not Alpine), Windows (x86-64) and macOS (ARM){but}.
{batch}
As a service, with a page at http://localhost:8000 and its interface described at /docs:

```sh
pip install -r requirements-serve.txt
python serve.py
```

and, while it runs, from another shell:

```sh
curl {form} http://localhost:8000/{path}
{raw}curl -H 'Content-Type: application/json' -d '{json}' http://localhost:8000/{path}
```

- In JSON an image is its file in base64. A form takes several files of one column, JSON several rows.
- `/health`: the process lives. `/ready`: the model answers; it tells why the last reload was refused, too. `/metrics`:
  for Prometheus.
- Each answer names the model in `X-Model` and the request in `X-Request-ID`; the log, on stderr, has a line of JSON a
  request.
- `FEATX_API_KEY`, or `--api-key-file` with a key a line: clients send one as `X-API-Key` or `Authorization: Bearer`.
  `--protect metrics docs` asks for it there too, where it may be the password that a browser asks for, with any name.
- Put another bundle into this folder, then send SIGHUP or, with a key, `POST /reload`: it takes over once it has made a
  prediction, and requests under way finish on the old one; for a moment both take memory. A damaged one is refused, and
  one of another featx needs a restart. If this folder is a symbolic link, start the service by its path.

{card}

## Limits of a service

Limit its memory by a container: each of the `--n-jobs` threads decodes one image at a time, which takes 5 bytes per
pixel for a plain photo and up to 20 for others, of at most `--max-pixels`; beside that, up to `--queue` requests of at
most `--max-bytes` are held. Where clients are slow or not trusted, put a proxy in front of it that buffers requests and
answers, such as nginx.

## Files

- `model.onnx` takes {takes}, and gives {gives}. Any ONNX runtime can run it.
- `bundle.json` holds all that this page says, how images become pixels, the classes, and the SHA-256 of each file; a
  damaged bundle is refused.
"""
_SHOWN = 5  # of the values that a column may have
_RAW = "curl -H 'Content-Type: image/jpeg' --data-binary @new.jpg http://localhost:8000/{path}\n"
_BATCH = """
{takes}:

```sh
python predict.py {input} -o {file}.csv
```

It writes {columns}: a row that cannot be answered has its reason there, and stops nothing. A run that was stopped goes
on with the same command and `--resume`. `{file}.parquet` needs `pip install pyarrow`.
"""
_BUT_FAST = """, but for
cykooz-resizer on Linux ARM, where pip builds it from source with Rust. Without it this bundle is refused: it decodes
fast. One of a pipeline with `decode="exact"` does not need it"""


def write_code(folder: Path, requirements: list[str]) -> None:
    """Write what does not depend on the model: the package, the service, the requirements."""
    for name in COPIED:
        _write(folder / "predictor" / name, (_PACKAGE / name).read_bytes())
    _write(folder / "predictor" / "__init__.py", _INIT.encode())
    for package in ("images", "deploy", "deploy/batch", "deploy/service"):
        _write(folder / "predictor" / package / "__init__.py", b"")
    for name, values in _PROGRAMS.items():
        _write(folder / name, _PROGRAM.format(name=name, **values).encode())
    _write(folder / "page.html", fill("service.html"))
    _write(folder / "requirements.txt", _lines(sorted([*_REQUIREMENTS, *requirements])))
    _write(folder / "requirements-serve.txt", _lines(_REQUIREMENTS_SERVE))


def fill(page: str) -> bytes:
    """Write what the pages share into one of them, which is then whole by itself."""
    content = (PAGES / page).read_text("utf-8")
    for name, file in {"{style}": "style.css", "{answers}": "answers.mjs"}.items():
        content = content.replace(name, (PAGES / file).read_text("utf-8"))
    return content.encode()


def pixel_requirements(manifest: dict[str, Any]) -> list[str]:
    """List what turns images into pixels, beside what every bundle needs."""
    return ["cykooz-resizer>=4.0.1"] if any(entry.get("decode") == "fast" for entry in manifest["inputs"]) else []


def head_requirements(has_values: bool) -> list[str]:
    """List what a head of scikit-learn needs: the very version that it was fitted with."""
    names = [f"scikit-learn=={version('scikit-learn')}", f"skops>={version('skops')}"]
    return [*names, "pandas>=2.1"] if has_values else names


def write_readme(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``README.md``: what the bundle is and how to predict with it, and its card with a diagram."""
    _write(folder / "README.md", _readme(manifest).encode("utf-8"))
    bins = (manifest["card"]["scores"] or {}).get("reliability")
    if bins:
        _write(folder / DIAGRAM, diagram(bins).encode())


def _readme(manifest: dict[str, Any]) -> str:
    of_graph = [entry for entry in manifest["inputs"] if manifest["head"] == "onnx" or entry["kind"] == "image"]
    outputs = [*(manifest["outputs"] if manifest["head"] == "onnx" else []), "embedding"]
    values = {entry["name"]: [_value(entry, "new.jpg", "newer.jpg")] for entry in manifest["inputs"]}
    several = len(values) > 1
    example = json.dumps(values if several else next(iter(values.values())))
    method = "embed" if manifest["task"] == "embedding" else "predict_table"
    path = "embed" if manifest["task"] == "embedding" else "predict"
    named = ", ".join(_column(entry) if several else as_code(entry["name"]) for entry in manifest["inputs"])
    batch = _BATCH.format(
        takes=f"A table of many rows, with the columns {named}"
        if several
        else f"A folder of images, nested ones too, or a table with a column {named} of their paths",
        input="table.csv" if several else "photos/",
        file="embeddings" if manifest["task"] == "embedding" else "labels",
        columns=_answer_columns(manifest),
    )
    return _README.format(
        title=describe(manifest),
        summary=f"{headline(manifest)} Made by featx {__version__}; it runs without featx and without torch.".strip(),
        but=_BUT_FAST if pixel_requirements(manifest) else "",
        batch=batch,
        card=render(manifest),
        takes=", ".join(f"`{name}` ({shape})" for name, shape in _tensors(of_graph).items()),
        gives=", ".join(f"`{name}`" for name in outputs),
        code=quote(f"from predictor import Predictor; print(Predictor().{method}({example}))"),
        form=" ".join(f"-F {quote(part)}" for entry in manifest["inputs"] for part in _form(entry)),
        json=_json(manifest["inputs"]),
        raw="" if several or "rows" in manifest["inputs"][0] else _RAW.format(path=path),
        path=path,
    )


def _answer_columns(manifest: dict[str, Any]) -> str:
    """Describe the columns that predict.py writes."""
    if manifest["task"] == "embedding":
        return "the image, a column for each number of its embedding, and an error"
    names = [name for field in label_fields("O", manifest.get("width")) for name in field.header]
    columns = ",".join(["image", *names, "error"])
    if "width" in manifest or "probabilities" in manifest["outputs"]:
        return columns
    label = "label is the predicted number and " if manifest["task"] == "regression" else ""
    return f"{columns}, where {label}probability is empty"


def _column(entry: dict[str, Any]) -> str:
    """Describe a column of the table that predict.py takes."""
    kinds = {"image": "the path of an image", "number": "a number", "integer": "a whole number", "category": "text"}
    text = kinds[entry["kind"]]
    if entry.get("known") and not entry.get("others"):
        shown = ", ".join(map(as_code, entry["known"][:_SHOWN]))
        text = f"one of {shown}{', ...' if len(entry['known']) > _SHOWN else ''}"
    return f"{as_code(entry['name'])} ({text}{', or empty' if entry.get('missing') else ''})"


def _value(entry: dict[str, Any], *images: str) -> Any:
    """Return a value that a column may have."""
    if entry["kind"] == "image":
        return list(images) if "rows" in entry else images[0]
    if entry["kind"] == "category":
        return next((value for value in entry["known"] or () if isinstance(value, str)), "...")
    return 1.5 if entry["kind"] == "number" else 1


def _form(entry: dict[str, Any]) -> list[str]:
    """List the fields of a form that has one row."""
    value = _value(entry, "@new.jpg", "@newer.jpg")
    return [f"{entry['name']}={one}" for one in (value if isinstance(value, list) else [value])]


def _json(inputs: list[dict[str, Any]]) -> str:
    """Write the JSON of one row, as an argument within single quotes."""
    row = {entry["name"]: _value(entry, "BASE64", "BASE64") for entry in inputs}
    return json.dumps([row]).replace("'", "\\u0027")


def _tensors(inputs: list[dict[str, Any]]) -> dict[str, str]:
    """Describe the inputs of the graph, by name."""
    shapes = {}
    for entry in inputs:
        if entry["kind"] != "image":
            shapes[entry["tensor"]] = {"number": "float32", "integer": "int64", "category": "string"}[entry["kind"]]
            shapes[entry["tensor"]] += ", n x 1"
            continue
        for encoder in (entry, *entry.get("also", ())):
            size, n = encoder["preprocess"]["size"], "images" if "rows" in encoder else "n"
            shapes[encoder["tensor"]] = f"uint8, {n} x {size} x {size} x 3, RGB"
            if "rows" in encoder:
                shapes[encoder["rows"]] = "int64, n x most: the positions of a row's images among these, -1 for none"
            elif encoder["absent"]:
                shapes[encoder["absent"]] = "bool, n x 1: whether there is no image"
    return shapes


def _lines(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
