#!/usr/bin/env bash
# daft 0.7.26 gives a column of decoded images as arrays to Python, and as dicts of flat values to pandas.
#
# Guess: to_pandas() has in its cells what to_pydict() and iter_rows() have: an array of height x width x channels each, and
#        None where an image is missing.
# Seen:  to_pydict() and iter_rows() give uint8 arrays of shape (4, 5, 3). to_pandas() gives a dict a cell, of data (one
#        flat array), channel, height, width and mode: the columns of the Arrow struct below. Its sizes are int, unless the
#        column has one missing image: then they are float in every row (height 4.0), which range() and reshape() refuse.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check daft==0.7.26 numpy==2.4.6 pandas==3.1.1 pillow==13.0.0
"$work/venv/bin/python" - <<'PY'
import io

import daft
import numpy as np
from PIL import Image

file = io.BytesIO()
Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(file, "PNG")
for name, cells in (("all there", [file.getvalue()] * 2), ("one missing", [file.getvalue(), None])):
    frame = daft.from_pydict({"file": cells})
    frame = frame.with_column("image", frame["file"].decode_image())
    array = frame.to_pydict()["image"][0]
    cell = frame.to_pandas()["image"][0]
    sizes = {key: cell[key] for key in ("height", "width", "channel", "mode")}
    print(f"{name}: to_pydict {type(array).__name__} {array.shape}; to_pandas {type(cell).__name__}, {sizes}")
    assert array.shape == (4, 5, 3), "it was another behaviour"
    assert isinstance(cell, dict) and cell["data"].shape == (60,), "it was another behaviour"
    assert type(cell["height"]) is (int if name == "all there" else float), "it was another behaviour"
PY
