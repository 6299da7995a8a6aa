"""scikit-learn's own checks of an estimator, as tests."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

# Of estimators that do not claim the array API it would ask whether they refuse it, and skips unless
# SCIPY_ARRAY_API was set before scipy's import.
_LEFT_OUT = ("check_array_api_input",)


def checks_of(*estimators: Any, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """A case, of ``estimator`` and ``check``, for each check of each estimator but some."""
    cases = [case for estimator in estimators for case in estimator_checks_generator(estimator)]
    kept = [(estimator, check) for estimator, check in cases if not _name(check).startswith(_LEFT_OUT + but)]
    ids = [f"{estimator!r}-{_name(check)}" for estimator, check in kept]
    return pytest.mark.parametrize(("estimator", "check"), kept, ids=ids)


def _name(check: Any) -> str:
    return check.func.__name__ if isinstance(check, partial) else check.__name__
