#!/usr/bin/env bash
# Pillow 13.0.0 resizes some tall images to other pixels than Pillow 12.1.1.
#
# Guess: resize() has given the same values, bit for bit, since it rounds by fixed-point arithmetic (of all versions that
#        have a box= they were the same); a pass that is made in less time does not show.
# Seen:  a photo of 300 x 400 resized to 224 x 224, or its middle square by box=, has other values in 13.0.0: by 1 in a photo,
#        by 10 and more between black and white. Where that is less work, 13.0.0 goes along columns before it goes along
#        rows, and what lies between is rounded and cut off at 0 and 255. The same photo of 400 x 300, and one of
#        375 x 500, is as it was. One pass by each of two calls gives 12.1.1's values in both versions.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 12.1.1 13.0.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q --disable-pip-version-check pillow==$version numpy==2.3.5
  "$work/$version/bin/python" - "$work/$version.npz" <<'PY'
import sys

import numpy as np
from PIL import Image

found = {}
for width, height in ((300, 400), (400, 300), (375, 500)):
    y, x = np.mgrid[:height, :width]
    smooth = (127.5 + 60 * np.sin(x / 9) + 60 * np.cos(y / 11)).astype(np.uint8)
    stripes = np.where((x * x + y * y) // 700 % 2, 255, 0).astype(np.uint8)
    for name, pixels in (("smooth", smooth), ("black and white", stripes)):
        image, side = Image.fromarray(pixels), min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        box = (left, upper, left + side, upper + side)
        bicubic = Image.Resampling.BICUBIC
        rows = image.resize((224, height), bicubic, box=(left, 0, left + side, height))
        found[f"{width} x {height}, {name}, one call"] = image.resize((224, 224), bicubic, box=box)
        found[f"{width} x {height}, {name}, two calls"] = rows.resize((224, 224), bicubic, box=(0, upper, 224, upper + side))
np.savez(sys.argv[1], **{name: np.asarray(image) for name, image in found.items()})
PY
done
"$work/13.0.0/bin/python" - "$work" <<'PY'
import sys

import numpy as np

old, new = (np.load(f"{sys.argv[1]}/{version}.npz") for version in ("12.1.1", "13.0.0"))
for name in old.files:
    apart = np.abs(old[name].astype(int) - new[name])
    print(f"{name}: {(apart > 0).mean():.1%} of values differ, by {apart.max()} at most")
    assert (apart.max() > 0) == name.startswith("300 x 400") * name.endswith("one call"), "it was another behaviour"
PY
