"""The whole examination, in the order in which a failure would show."""

from __future__ import annotations

from collections.abc import Iterator

from featx.doctor._encoding import check_encoding
from featx.doctor._finding import Finding
from featx.doctor._folders import check_folders
from featx.doctor._gpu import NO_DRIVER, check_gpu
from featx.doctor._imports import check_imports
from featx.doctor._memory import check_memory
from featx.doctor._packages import check_packages
from featx.doctor._processor import check_processor
from featx.doctor._subject import check_subject
from featx.doctor._weights import check_weights


def examine(path: str | None = None) -> Iterator[Finding]:
    """Examine this machine; compiled packages are loaded in processes of their own.

    Parameters
    ----------
    path : str, default=None
        A bundle, a model, a store, or images, to be looked at too.

    Yields
    ------
    Finding
        The last one says where encoding will run.
    """
    yield from check_processor()
    yield from check_memory()
    yield from check_packages()
    gpus = check_gpu()
    yield from gpus
    yield from check_folders()
    yield from check_weights()
    yield from check_imports(gpu=not gpus[0].value.startswith(NO_DRIVER))
    if path is not None:
        yield check_subject(path)
    yield check_encoding()
