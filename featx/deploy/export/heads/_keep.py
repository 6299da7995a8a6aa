"""Keep a head as scikit-learn's, in a file that holds no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx._trusted_types import import_skops
from featx.deploy._bundle import few, foreign_types
from featx.deploy.export._inputs import walk
from featx.exceptions import ExportError
from featx.heads import EmbeddingNormalizer


def dump_head(head: Any, file: Path) -> None:
    """Write a head as scikit-learn's, in a file that holds no code.

    Raises
    ------
    ExportError
        If it holds anything but scikit-learn's own types and functions: a bundle's machine has nothing else.
    """
    try:
        import_skops().dump(head, file)
        foreign = foreign_types(file)
    except Exception as error:  # skops may raise anything of what it cannot keep
        raise ExportError(f"The head cannot be kept: {error}{_functions(head)}") from error
    if any(type(part) is EmbeddingNormalizer for part in walk(head)):
        raise ExportError(
            'EmbeddingNormalizer(method="power") has no form in scikit-learn, and the bundle\'s machine has no featx. '
            'Expected method="cl2n" or "whiten", or a head whose steps all convert to ONNX and no head="sklearn".'
        )
    if foreign:
        steps = [f"{type(part).__module__}.{type(part).__qualname__}" for part in walk(head)]
        foreign = [*(name for name in dict.fromkeys(steps) if name in foreign), *(n for n in foreign if n not in steps)]
        raise ExportError(
            f"The head holds {few(foreign)}, which a bundle's machine would not take from a file"
            f"{_functions(head)}. Expected scikit-learn's own estimators and functions alone; or keep the model with "
            "featx.save(model, folder)."
        )


def _functions(head: Any) -> str:
    """Name the steps that hold functions."""
    found = [f"FunctionTransformer({part.func!r})" for part in walk(head) if getattr(part, "func", None) is not None]
    return f" (see {', '.join(found)})" if found else ""
