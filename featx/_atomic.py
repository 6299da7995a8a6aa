"""Files and folders that are written whole, or not at all: aside first, then in their place."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featx.exceptions import FeatxError

# The store, too, knows unfinished files by this beginning.
TEMPORARY = ".tmp-"


@contextmanager
def atomic_file(file: str | Path) -> Iterator[Path]:
    """Write a file aside; it takes its place when the block ends well.

    Parameters
    ----------
    file : str or Path
        An older file, or link, of that name is replaced.

    Yields
    ------
    Path
        A new name in the same folder, with the same suffix, to write to.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featx._atomic import atomic_file
    >>> file = Path(tempfile.mkdtemp()) / "answer.txt"
    >>> with atomic_file(file) as temporary:
    ...     _ = temporary.write_text("42")
    >>> file.read_text()
    '42'
    """
    target = Path(file)
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_new_folder(target: Path, *, marker: str, error: type[FeatxError]) -> None:
    """Refuse, before the work, a folder that could not be written or that holds something else.

    Parameters
    ----------
    target : Path
        An absolute path.
    marker : str
        The file by which a folder of this kind is known; such a one may be replaced.
    error : type
        The class of the error that is raised.
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
def atomic_folder(target: Path, *, marker: str, error: type[FeatxError]) -> Iterator[Path]:
    """Write a folder aside; it takes its place when the block ends well.

    Parameters
    ----------
    target, marker, error
        As for `check_new_folder`.

    Yields
    ------
    Path
        The folder to write to.
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
