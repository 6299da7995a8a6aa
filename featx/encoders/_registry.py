"""The registered networks, by name, and the table of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from featx.encoders import _efficientnet_lite, _timm, _torchvision
from featx.encoders._spec import Architecture, Weights
from featx.exceptions import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@cache
def registry() -> dict[str, Architecture]:
    """Return all registered architectures, by the name that a user types."""
    entries = [*_efficientnet_lite.architectures(), *_torchvision.architectures()]
    return {entry.name.removeprefix("torchvision:"): entry for entry in entries}


def get_architecture(name: str) -> Architecture:
    """Find an architecture by its name; an unknown name raises with its close matches."""
    if name.startswith(_timm.PREFIX):
        return _timm.architecture(name.removeprefix(_timm.PREFIX))
    if name not in registry():
        raise UnknownNameError("encoder", name, registry(), "featx.list_encoders() shows all; timm's are 'timm:NAME'.")
    return registry()[name]


def published_weights(encoder: str, weights: str | Path) -> Weights | None:
    """Find the published weights that ``weights=`` names; None for a file and for random weights."""
    entries = get_architecture(encoder).weights
    if weights == "default":
        return entries[0]
    return next((entry for entry in entries if entry.name == weights), None)


def list_encoders() -> pd.DataFrame:
    """List the encoders that can be used by name, one row for each set of weights.

    Models of timm are not listed: they are ``"timm:NAME"`` for every name of ``timm.list_models()``.

    Returns
    -------
    pandas.DataFrame
        Columns name, weights, dim, parameters (millions), gmacs (billions of
        multiply-accumulates per image), size (pixels), top1 (ImageNet accuracy
        in percent), source (of top1), license, local (whether the weights are
        on this machine) and default (whether ``weights="default"`` means them).

    Examples
    --------
    >>> import featx
    >>> table = featx.list_encoders()
    >>> int(table.loc[table["name"] == "efficientnet_lite0", "dim"].iloc[0])
    1280
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "name": name,
            "weights": weights.name,
            "dim": entry.dim,
            "parameters": entry.parameters,
            "gmacs": entry.gmacs,
            "size": weights.preprocess.size,
            "top1": weights.top1,
            "source": weights.source,
            "license": weights.license,
            "local": weights.is_local(),
            "default": i == 0,
        }
        for name, entry in registry().items()
        for i, weights in enumerate(entry.weights)
    )
