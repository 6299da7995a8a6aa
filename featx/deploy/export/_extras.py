"""What is written beside a bundle when it is asked for: boxes for operators, and a page for browsers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from featx._validate import check_choice
from featx.deploy.export import _boxes, _web

_README = {**_boxes.README, "web": _web.README}
EXTRAS = tuple(_README)


def check_names(extras: str | Iterable[str]) -> tuple[str, ...]:
    """Check what is asked for.

    Parameters
    ----------
    extras : str or iterable of str
        Names of `EXTRAS`.

    Returns
    -------
    tuple of str
        Each name once, in the order of `EXTRAS`.

    Raises
    ------
    UnknownNameError
        If there is no such name.
    """
    names = [extras] if isinstance(extras, str) else list(extras)
    for name in names:
        check_choice("extras", name, EXTRAS)
    return tuple(name for name in EXTRAS if name in names)


def check_extras(names: Iterable[str], manifest: dict[str, Any], problems: Sequence[str]) -> None:
    """Refuse what cannot be written for a bundle.

    Parameters
    ----------
    names : iterable of str
        What `check_names` returned.
    manifest : dict
        The bundle's manifest, as far as it is known.
    problems : sequence of str
        Why its head has not become a part of the graph, if it has not.

    Raises
    ------
    ExportError
        If the bundle takes what a page in a browser cannot.
    """
    if "web" in names:
        _web.check_web(manifest, problems)


def explain_extras(names: Iterable[str], folder: Path) -> None:
    """Add to a bundle's ``README.md`` how each is used."""
    with (folder / "README.md").open("a", encoding="utf-8", newline="\n") as readme:
        readme.writelines(_README[name] for name in names)


def write_extras(names: tuple[str, ...], folder: Path, manifest: dict[str, Any]) -> None:
    """Write files beside a bundle, outside of its manifest.

    Parameters
    ----------
    names : tuple of str
        What `check_names` returned.
    folder : Path
        The bundle's folder, with its manifest.
    manifest : dict
        The bundle's manifest.
    """
    _boxes.write_boxes(folder, [name for name in names if name != "web"], manifest)
    if "web" in names:
        _web.write_web(folder)
