#!/usr/bin/env bash
# fsspec 2026.9.0: rm, cat, get and copy of one file whose name has brackets act on another file.
#
# Guess: a path that exists is that file; a pattern is expanded where nothing has that very name, or by glob alone.
# Seen:  beside photo1.jpg, rm("photo[1].jpg") deletes photo1.jpg and leaves photo[1].jpg, without a word. cat gives the
#        content of photo1.jpg; get and copy make a folder of the wanted name with photo1.jpg in it. The path is taken for a
#        pattern wherever one of *?[ stands in it, though the file is there. What takes one file is exact: rm_file,
#        cat_file, get_file, cp_file, info, exists.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check fsspec==2026.9.0
"$work/venv/bin/python" - "$work" <<'PY'
import sys
from pathlib import Path

import fsspec

COPY, OTHER = "/shop/photo[1].jpg", "/shop/photo1.jpg"
system = fsspec.filesystem("memory")


def fill():
    if system.exists("/shop"):
        system.rm("/shop", recursive=True)
    for path in (COPY, OTHER):
        system.pipe_file(path, f"this is {path}".encode())


fill()
seen = {"exists": system.exists(COPY), "cat_file": system.cat_file(COPY).decode(), "cat": system.cat(COPY)}
target = Path(sys.argv[1], "download.jpg")
system.get(COPY, str(target))
seen["get"] = [str(path.relative_to(target.parent)) for path in sorted(target.rglob("*"))]
system.copy(COPY, "/shop/copy.jpg")
seen["copy"] = system.find("/shop/copy.jpg")
fill()
system.rm(COPY)
seen["left by rm"] = system.find("/shop")
fill()
system.rm_file(COPY)
seen["left by rm_file"] = system.find("/shop")
for what, got in seen.items():
    print(f"{what}: {got}")
assert seen["exists"] and seen["cat_file"] == f"this is {COPY}", "it was another behaviour"
assert seen["cat"] == {OTHER: f"this is {OTHER}".encode()}, "it was another behaviour"
assert seen["get"] == ["download.jpg/photo1.jpg"], "it was another behaviour"
assert seen["copy"] == ["/shop/copy.jpg/photo1.jpg"], "it was another behaviour"
assert seen["left by rm"] == [COPY] and seen["left by rm_file"] == [OTHER], "it was another behaviour"
PY
