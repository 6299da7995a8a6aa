"""skada, which needs scikit-learn's metadata routing: switched on around it, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from sklearn import config_context

from featx._optional import import_optional


@contextmanager
def domain_routing() -> Iterator[ModuleType]:
    """Import skada and route ``sample_domain`` inside; importing it would switch routing on for the whole process.

    Yields
    ------
    module
        skada.

    Raises
    ------
    MissingDependencyError
        If skada is not installed.

    Examples
    --------
    >>> import sklearn
    >>> from featx.adapt._routing import domain_routing
    >>> with domain_routing() as skada:
    ...     print(sklearn.get_config()["enable_metadata_routing"])
    True
    >>> sklearn.get_config()["enable_metadata_routing"]
    False
    """
    with config_context(enable_metadata_routing=True):
        yield import_optional("skada", extra="adapt", purpose="Domain adaptation")
