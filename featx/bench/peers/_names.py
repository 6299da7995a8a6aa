"""The same networks under other names."""

from __future__ import annotations

import re

_SAME = re.compile(r"resnet(18|34|50|101|152)|convnext_(tiny|small|base|large)|densenet(121|161|169|201)|vgg\d\d(_bn)?")
_RENAMED = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnet_lite1": "tf_efficientnet_lite1",
    "efficientnet_lite2": "tf_efficientnet_lite2",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_b": "swin_base_patch4_window7_224",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
}


def timm_name(encoder: str) -> str | None:
    """Translate featx's name of a network to timm's.

    Examples
    --------
    >>> from featx.bench.peers._names import timm_name
    >>> timm_name("vit_b_16"), timm_name("resnet50"), timm_name("timm:resnet50.a1_in1k"), timm_name("googlenet")
    ('vit_base_patch16_224', 'resnet50', 'resnet50', None)
    """
    if encoder.startswith("timm:"):
        return encoder.removeprefix("timm:").partition(".")[0]
    return encoder if _SAME.fullmatch(encoder) else _RENAMED.get(encoder)
