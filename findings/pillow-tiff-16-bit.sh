#!/usr/bin/env bash
# Pillow 13.0.0: 16-bit TIFFs that tifffile writes are read as other pictures, in two layouts.
#
# Guess: 16-bit RGB becomes its high bytes whether its bands are interleaved or in planes, as it does when the planes are
#        compressed; and grey whose white is 0 is inverted at 16 bits as at 8.
# Seen:  uncompressed planes of 16 bits are taken for planes of 8 bits: each row is made of the low and high bytes of its
#        first half in turn, without an error. 16-bit grey of WhiteIsZero comes as it is stored, which is its negative.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import io

import numpy as np
import tifffile
from PIL import Image


def through_a_file(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, byteorder="<", **options)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


planes = np.random.default_rng(0).integers(0, 65536, (3, 5, 8), dtype=np.uint16)
right = np.moveaxis(planes >> 8, 0, 2)
interleaved = np.ascontiguousarray(np.moveaxis(planes, 0, 2))
assert np.array_equal(through_a_file(interleaved, photometric="rgb"), right)
compressed = through_a_file(planes, photometric="rgb", planarconfig="separate", compression="zlib")
assert np.array_equal(compressed, right)

read = through_a_file(planes, photometric="rgb", planarconfig="separate")
print("red, first row, stored high bytes:", right[0, :, 0].tolist())
print("red, first row, as Pillow reads it:", read[0, :, 0].tolist())
assert read[0, :, 0].tolist() == planes[0, 0, :4].astype("<u2").view(np.uint8).tolist(), "it was another behaviour"

grey = np.array([[0, 1000, 65535]], np.uint16)
of_8_bits = through_a_file((grey >> 8).astype(np.uint8), photometric="miniswhite")
of_16_bits = through_a_file(grey, photometric="miniswhite")
print("white is 0, 8 bits:", of_8_bits.tolist(), "16 bits:", of_16_bits.tolist())
assert of_8_bits.tolist() == [[255, 252, 0]]
assert of_16_bits.tolist() == [[0, 1000, 65535]], "it was another behaviour"
PY
