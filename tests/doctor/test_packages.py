from __future__ import annotations

import importlib.metadata
import platform

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from featx.doctor._packages import _numbers, check_packages, compare

NUMPY = importlib.metadata.version("numpy")


def test_this_installation_is_new_enough():
    featx, python, *packages = check_packages()
    assert (featx.status, python.value.split(",")[0]) == ("ok", platform.python_version())
    assert [finding.status for finding in packages] == ["ok"]
    assert "all new enough" in packages[0].value


def test_what_is_new_enough_is_counted():
    (finding,) = compare(["numpy>=1.0", f"numpy>={NUMPY}", 'numpy>=1; extra == "plot"', "pandas[all]>=2"])
    assert (finding.status, finding.value) == ("ok", "4 installed, all new enough")


def test_what_is_too_old_or_missing_is_bad():
    missing, old = compare(["nowhere-to-be-found>=1.5", "numpy>=99.1"])
    assert str(missing) == "bad   nowhere-to-be-found: not installed  -> pip install 'nowhere-to-be-found>=1.5'"
    assert str(old) == f"bad   numpy: {NUMPY} is too old  -> pip install --upgrade 'numpy>=99.1'"


def test_an_extra_may_be_missing_and_must_not_be_old():
    (finding,) = compare(['nowhere-to-be-found>=1.5; extra == "plot"', "numpy>=99.1; extra == 'plot'"])
    assert (finding.status, finding.what) == ("warn", "numpy")


@given(*[st.lists(st.integers(0, 30), min_size=1, max_size=4)] * 2)
def test_versions_are_compared_as_pip_does(one, other):
    one, other = ".".join(map(str, one)), ".".join(map(str, other))
    assert (_numbers(one) < _numbers(other)) == (Version(one) < Version(other))
    assert _numbers(f"{one}+cpu") == _numbers(one)
