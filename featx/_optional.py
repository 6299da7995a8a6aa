"""Optional packages, and those that read a URL: imported at the point of use, with an error that names the extra."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from featx.exceptions import MissingDependencyError


def import_optional(module: str, *, extra: str | None, purpose: str) -> ModuleType:
    """Import a package that featx does not require.

    Parameters
    ----------
    module : str
        The module to import, e.g. ``"timm"``.
    extra : str or None
        The extra in ``pyproject.toml`` that installs it; None for a package that users bring.
    purpose : str
        What it is needed for; the error begins with it.

    Raises
    ------
    MissingDependencyError
        If the package is not installed; the message says what to type.

    Examples
    --------
    >>> from featx._optional import import_optional
    >>> import_optional("json", extra="cli", purpose="An example").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there but broken must show its own error, not "not installed".
        if getattr(error, "name", None) not in (module, module.partition(".")[0]):
            raise
        package = module.partition(".")[0]
        wanted = package if extra is None else f"'featx[{extra}]'"
        raise MissingDependencyError(
            f"{purpose} needs the package {package!r}, which is not installed. Install it with: pip install {wanted}"
        ) from error


def open_url(url: str, *, purpose: str, **options: Any) -> tuple[Any, str]:
    """Find the file system of a URL, which fsspec keeps for the next call; a forked child gets one of its own.

    Parameters
    ----------
    url : str
        As fsspec reads it: ``s3://bucket/key``. Where the store is and who asks is configured as for fsspec.
    purpose : str
        What it is needed for; an error begins with it.
    **options
        Of the file system.

    Returns
    -------
    system : fsspec.AbstractFileSystem
    path : str
        Of the URL, in the file system.

    Raises
    ------
    MissingDependencyError
        If fsspec, or its package for this scheme, is not installed.
    ValueError
        If fsspec knows no such scheme.

    Examples
    --------
    >>> from featx._optional import open_url
    >>> open_url("memory://bucket/key", purpose="An example")[1]
    '/bucket/key'
    """
    fsspec = import_optional("fsspec", extra="remote", purpose=purpose)
    asking = sys.modules.get("fsspec.asyn")
    if asking and asking.iothread[0] and not asking.iothread[0].is_alive():
        asking.reset_lock()  # in a forked child the thread that asks is gone; fsspec before 2026 does not see it
    try:
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        scheme = url.partition("://")[0]
        raise MissingDependencyError(
            f"{purpose} needs fsspec's package for {scheme}: {error}. s3:// comes with: pip install 'featx[remote]'"
        ) from error
