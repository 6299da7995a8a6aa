"""A folder that is written whole, or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featx.exceptions import FeatxError


def check_new_folder(target: Path, *, marker: str, error: type[FeatxError]) -> None:
    """Refuse, before the work, a folder that could not be written or that holds something else.

    Parameters
    ----------
    target : Path
        Absolute.
    marker : str
        The file by which a folder of this kind is known; such a one may be replaced.
    error : type
        What is raised.
    """
    if not target.parent.is_dir():
        raise error(f"Got folder={str(target)!r}, but there is no folder {target.parent}. Make it first.")
    if target.exists() and not target.is_dir():
        raise error(f"Got folder={str(target)!r}, which is a file. Expected a folder that may be made.")
    if target.exists() and any(target.iterdir()) and not (target / marker).is_file():
        raise error(
            f"Got folder={str(target)!r}, which holds something else (there is no {marker} in it). Expected a new "
            "folder, an empty one, or one that was written by this function, which is replaced."
        )


@contextmanager
def new_folder(target: Path, *, marker: str, error: type[FeatxError]) -> Iterator[Path]:
    """A folder beside the target that takes its place once all is written.

    Parameters
    ----------
    target, marker, error
        As for `check_new_folder`.

    Yields
    ------
    Path
        The folder to write.
    """
    check_new_folder(target, marker=marker, error=error)
    new, old = (target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}.{age}") for age in ("new", "old"))
    try:
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    except OSError as failure:
        if isinstance(failure, FeatxError):
            raise
        raise error(f"{target} cannot be written: {failure}") from failure
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
