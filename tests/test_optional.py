from __future__ import annotations

import pytest

from featx._optional import import_optional
from featx.exceptions import FeatxError, MissingDependencyError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes packages that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


def test_a_package_that_is_there_is_imported(package):
    assert import_optional(package("featx_present", "value = 3"), extra="plot", purpose="A plot").value == 3


def test_a_package_that_is_missing_is_named_with_what_to_type():
    with pytest.raises(MissingDependencyError) as raised:
        import_optional("featx_absent.inner", extra="plot", purpose="A plot")
    message = (
        "A plot needs the package 'featx_absent', which is not installed. Install it with: pip install 'featx[plot]'"
    )
    assert str(raised.value) == message
    assert isinstance(raised.value, FeatxError)
    assert isinstance(raised.value, ImportError)


def test_a_package_that_users_bring_is_named_itself():
    with pytest.raises(MissingDependencyError, match=r"pip install featx_absent$"):
        import_optional("featx_absent.inner", extra=None, purpose="A plot")


@pytest.mark.parametrize(
    "source", ["import featx_absent", "from json import no_such_name", "raise ImportError('broken')"]
)
def test_a_package_that_is_broken_shows_its_own_error(package, source):
    with pytest.raises(ImportError) as raised:
        import_optional(package(f"featx_broken{len(source)}", source), extra="plot", purpose="A plot")
    assert not isinstance(raised.value, MissingDependencyError)
