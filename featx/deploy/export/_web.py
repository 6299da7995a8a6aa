"""Write a page that answers images in the browser, by ONNX Runtime Web, which its user fetches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.deploy.export._package import PAGES, fill
from featx.exceptions import ExportError

RUNTIME = "1.30.0"  # of onnxruntime-web, which the page was tested with
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MODULES = ("answers.mjs", "model.mjs", "page.mjs", "pixels.mjs")

README = f"""
## In a browser

`web/index.html` answers images in the browser: none leaves it. It needs three files of npm's onnxruntime-web, MIT
License, which these commands fetch into `web/onnxruntime-web/` (14 MB; npm comes with Node.js):

```sh
npm pack onnxruntime-web@{RUNTIME}
mkdir -p web/onnxruntime-web
tar -xzf onnxruntime-web-{RUNTIME}.tgz -C web/onnxruntime-web --strip-components=2 {
    " ".join(f"package/dist/{name}" for name in RUNTIME_FILES)
}
rm onnxruntime-web-{RUNTIME}.tgz
```

Where a project has that version already, copy them from its `node_modules/onnxruntime-web/dist/` instead. Then any
server of static files will do that serves this folder, such as

```sh
python -m http.server 8080 --bind 127.0.0.1
```

with the page at http://127.0.0.1:8080/web/. It reads `bundle.json`, `model.onnx` and what lies in `web/`, and nothing
from any other host. The pixels of a decoded image become those that Python makes, bit for bit. The browser decodes:
Chromium gives the same pixels as Pillow, but it reads no TIFF or HEIC, and it may show a damaged file that Python
refuses. A server that sends the headers `Cross-Origin-Opener-Policy: same-origin` and
`Cross-Origin-Embedder-Policy: require-corp` lets the page use several threads.
"""


def check_web(manifest: dict[str, Any], problems: Sequence[str]) -> None:
    """Check that a page in a browser can answer what a bundle takes.

    Parameters
    ----------
    manifest : dict
        The bundle's manifest.
    problems : sequence of str
        Why its head has not become a part of the graph, if it has not.

    Raises
    ------
    ExportError
        If it has other inputs than one column of images, a head outside of its graph or none, pixels that are not the
        exact ones, or classes that are dates.
    """
    entries = manifest["inputs"]
    labels = manifest["dtype"] or ""
    if "rows" in entries[0]:
        raise _refuse("several images a row", "one image a row")
    if "also" in entries[0]:
        raise _refuse("several encoders of one image", "one encoder")
    if len(entries) != 1 or entries[0]["kind"] != "image":
        raise _refuse(f"the columns {', '.join(repr(entry['name']) for entry in entries)}", "one column of images")
    if manifest["head"] is None:
        raise _refuse("an ImageEncoder alone", "a classifier or a regressor at its end")
    if manifest["head"] != "onnx":
        why = f" ({problems[0].rstrip('.')})" if problems else ""
        raise _refuse(f"a head that stays scikit-learn's{why}", "one that becomes part of the graph")
    if "decode" in entries[0]:
        raise _refuse(f"decode={entries[0]['decode']!r}", "decode='exact', whose pixels a browser can make too")
    if labels[1:2] in ("M", "m"):
        raise _refuse("classes that are dates or durations", "text, numbers or booleans")


def write_web(folder: Path) -> None:
    """Write ``web/``: the page and its modules."""
    target = folder / "web"
    target.mkdir()
    for name in MODULES:
        (target / name).write_bytes((PAGES / name).read_bytes())
    (target / "index.html").write_bytes(fill("index.html"))


def _refuse(got: str, expected: str) -> ExportError:
    return ExportError(f"A page for the browser cannot be written: got {got}. Expected {expected}.")
