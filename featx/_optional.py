"""Optional packages: imported at the point of use, with an error that names the extra."""

from __future__ import annotations

import importlib
from types import ModuleType

from featx.exceptions import MissingDependencyError


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a package that featx does not require.

    Parameters
    ----------
    module : str
        The module to import, e.g. ``"timm"``.
    extra : str
        The extra in ``pyproject.toml`` that installs it.
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
        raise MissingDependencyError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'featx[{extra}]'"
        ) from error
