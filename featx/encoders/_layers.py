"""`list_layers`: the nodes of a network that are worth naming, what they give and cost, and their portable names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.encoders._encoder import Encoder
from featx.encoders._registry import get_architecture
from featx.encoders._resolve import build_on, resolve, stages_of
from featx.encoders._spec import FEATURE, LOGITS, EncoderSpec
from featx.encoders._trace import Visit, halvings, list_nodes, trace
from featx.encoders._weights import is_weights_path

if TYPE_CHECKING:
    import pandas as pd
    import torch


def list_layers(encoder: Any = "efficientnet_lite0", *, weights: str | Path = "default") -> pd.DataFrame:
    """List the layers of an encoder that are worth naming in ``layers=``, in the order of its forward pass.

    Nodes inside a block are not listed, though `ImageEncoder` takes them too. Nothing is downloaded: the network
    is built without weights where that is enough.

    Parameters
    ----------
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The encoder; an ImageEncoder brings its weights and its preprocessing along.
    weights : str or Path, default="default"
        As in `ImageEncoder`; they decide the size of the images.

    Returns
    -------
    pandas.DataFrame
        One row for each node, then ``"feature"``, which ``layers=None`` gives, and ``"logits"``, with the columns

        - ``node``: what to pass as ``layers=``
        - ``stage``: how often the side of the image is halved there, log2(side of the image / side of the map),
          rounded; n tokens count as a map of side sqrt(n), a vector as the map before it
        - ``size``: ``"height x width"`` of a map, the number of tokens, or ``""`` for a vector
        - ``dim``: length of the average-pooled embedding
        - ``gmacs``: billions of multiply-accumulates for one image, up to and including the node
        - ``name``: the portable name of this node: ``"early"``, ``"middle"``, ``"late"`` or ``"last"``, several
          where a small network has one node for them (``"early, middle"``), else ``""``

    Raises
    ------
    ParameterError
        If there is no such encoder, or if it is a graph in a file, which has only its own feature.

    Notes
    -----
    The portable names are the ends of the last four stages, where a stage is a run of nodes of one resolution:
    ``layers="late"`` is layer3 of a ResNet and blocks.10 of EfficientNet-Lite0, each at a sixteenth of the image's
    side. Where there are fewer stages (ViT, small networks), they are the nodes nearest to a quarter, a half, three
    quarters and all of the multiply-accumulates. ``"last"`` is the last map, or the last tokens, before the
    classifier's pooling.

    Examples
    --------
    >>> from featx.encoders import list_layers
    >>> table = list_layers("resnet18")
    >>> table.loc[table["name"] != "", ["node", "size", "dim", "name"]]
          node     size  dim    name
    5   layer1  56 x 56   64   early
    7   layer2  28 x 28  128  middle
    9   layer3  14 x 14  256    late
    11  layer4    7 x 7  512    last
    """
    import pandas as pd

    preprocess = "default"
    if hasattr(encoder, "get_params"):  # an ImageEncoder, which lies above
        given = encoder.get_params(deep=False)
        encoder, weights, preprocess = given["encoder"], given["weights"], given["preprocess"]
    (spec,) = resolve(encoder, weights=weights, preprocess=preprocess)
    size = spec.preprocess.size
    passed = trace(_builder(encoder, weights, spec), spec.classifier, size)
    stages, rows, stage = stages_of(encoder), [], 0
    for node in [*list_nodes(passed), *(passed.visits[name] for name in (FEATURE, LOGITS) if name in passed.visits)]:
        stage = halvings(node, size) if node.places else stage
        rows.append({**_describe(node), "name": ", ".join(name for name, own in stages.items() if own == node.name)})
        rows[-1]["stage"] = stage
    return pd.DataFrame(rows, columns=["node", "stage", "size", "dim", "gmacs", "name"])


def _describe(node: Visit) -> dict[str, Any]:
    return {
        "node": node.name,
        "size": " x ".join(map(str, node.places)),
        "dim": node.dim,
        "gmacs": node.macs / 1e9,
    }


def _builder(encoder: str | Encoder, weights: str | Path, spec: EncoderSpec) -> Callable[[str], torch.nn.Module]:
    if isinstance(encoder, Encoder):
        return encoder.build_on
    if spec.build is not None and is_weights_path(weights):  # its classifier may have another number of classes
        build = spec.build
        return lambda device: build().to(device)
    return partial(build_on, get_architecture(encoder), spec.preprocess.size)
