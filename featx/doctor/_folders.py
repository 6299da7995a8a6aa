"""The folders that featx keeps things in: writable, with room, on a disk of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from featx._cache_folder import default_location, user_folder
from featx.doctor._finding import Finding

_LITTLE = 1e9
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p"}


def check_folders() -> list[Finding]:
    """Look at the embeddings' folder, and at the one of converted networks."""
    kept = {"cache of embeddings": default_location(), "cache of networks": user_folder() / "graphs"}
    return [check_folder(what, path) for what, path in kept.items()]


def check_folder(what: str, path: Path) -> Finding:
    """Look at one; nothing is made that stays."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    advice = "nothing is kept between two runs; set FEATX_CACHE to a folder that you may write to"
    if not there.is_dir():
        return Finding("warn", what, f"{path}: {there} is a file", advice)
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding("warn", what, f"{path} cannot be written: {error.strerror or error}", advice)
    value = f"{path}, {free / 1e9:,.1f} GB free" + ("" if there == path else ", made when it is needed")
    if free < _LITTLE:
        return Finding("warn", what, value, "make room, or set FEATX_CACHE to a folder on another disk")
    if kind := network_kind(there):
        return Finding("warn", what, f"{value}, on {kind}", "slow; set FEATX_CACHE to a folder on a local disk")
    return Finding("ok", what, value)


def network_kind(folder: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Kind of the network file system that a folder lies on, None where it is local or cannot be told."""
    real = os.path.realpath(folder)
    if real.startswith("\\\\"):
        return "a network share"
    kinds = {}
    with suppress(OSError):
        for line in mounts.read_text(errors="replace").splitlines():
            _, point, kind, *_ = line.split(" ")
            kinds[point.replace("\\040", " ").rstrip("/")] = kind
    points = [point for point in kinds if f"{real}/".startswith(f"{point}/")]
    kind = kinds[max(points, key=len)] if points else None
    return kind if kind in _NETWORK else None
