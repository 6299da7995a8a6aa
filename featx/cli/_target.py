"""The file that a command writes: refused before the work, whole or not there after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featx._atomic import atomic_file
from featx.exceptions import FeatxError, ParameterError


@contextmanager
def replacing(file: str | Path) -> Iterator[Path]:
    """Open a file to be written; it appears under its name when the block ends well.

    Parameters
    ----------
    file : str or Path

    Yields
    ------
    Path
        An empty file beside it, to write to.

    Raises
    ------
    ParameterError
        If it cannot be written; at once, if that can be told.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featx.cli._target import replacing
    >>> file = Path(tempfile.mkdtemp()) / "answer.txt"
    >>> with replacing(file) as temporary:
    ...     _ = temporary.write_text("42")
    >>> file.read_text()
    '42'
    """
    check_target(file)
    target = Path(os.path.realpath(file))  # of a link, what it leads to
    try:
        with atomic_file(target) as temporary:
            temporary.touch()
            yield temporary
    except FeatxError:  # some are OSErrors: of the work, not of the writing
        raise
    except OSError as error:
        raise ParameterError(f"{target} cannot be written: {error.strerror or error}.") from error


def check_target(file: str | Path) -> None:
    """Refuse now what could not be written after minutes of work.

    Raises
    ------
    ParameterError
        If there is no folder for it, or what has its name is no file.
    """
    file = Path(file)
    if not file.parent.is_dir():
        raise ParameterError(f"Got {file}, but there is no folder {file.parent.absolute()}. Make it first.")
    if file.exists() and not file.is_file():
        raise ParameterError(f"Got {file}, which is no file. Expected the name of a file to write.")
