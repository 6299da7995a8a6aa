"""What lies at a path: a bundle, a model, a store or images."""

from __future__ import annotations

import os
import re
from pathlib import Path

from featx.doctor._child import run
from featx.doctor._finding import Finding

# Loading a bundle or a model compares the digests of all its files.
_CODE = {
    "bundle": "import featx; featx.Predictor(sys.argv[1]); print('whole')",
    "model": "import featx; featx.load(sys.argv[1]); print('whole')",
    "store": (
        "import featx; table = featx.EmbeddingStore(sys.argv[1]).verify();"
        "bad = int(((table['damaged'] > 0) | (table['error'] != '')).sum());"
        "print(f'{table[\"rows\"].sum():,} embeddings, {bad} of {len(table)} files damaged'); sys.exit(bad > 0)"
    ),
    "images": (
        "from featx.images import check_images, find_images;"
        "files, _ = find_images(sys.argv[1:]); table = check_images(files[:16]); bad = table[~table['ok']];"
        "print(f'{len(files):,} files, {len(bad)} of the first {len(table)} unreadable', *bad['error'], sep='; ');"
        "sys.exit(len(bad) > 0)"
    ),
}
_ADVICE = {
    "bundle": "export or copy it again",
    "model": "save or copy it again",
    "store": "damaged rows are encoded again; featx cache verify names the files",
    "images": "featx check lists all",
}
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


def check_subject(path: str) -> Finding:
    """Look at it, in a process of its own."""
    if not os.path.exists(path):
        return Finding("bad", "path", f"{path} is not there", "name a bundle, a model, a store or images")
    kind = kind_of(Path(path))
    outcome = run(f"import sys; {_CODE[kind]}", path)
    if not outcome.reason:
        return Finding("ok", kind, f"{path}: {outcome.output}")
    return Finding("bad", kind, f"{path}: {outcome.output or outcome.reason}", _ADVICE[kind])


def kind_of(path: Path) -> str:
    """Tell by its files what a folder is."""
    for kind in ("bundle", "model"):
        if (path / f"{kind}.json").is_file():
            return kind
    if path.is_dir() and any(_FINGERPRINT.fullmatch(entry.name) and entry.is_dir() for entry in path.iterdir()):
        return "store"
    return "images"
