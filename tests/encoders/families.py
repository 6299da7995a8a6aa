"""The law for networks of other libraries: featx's feature and pixels are the library's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from featx.encoders import build_network, resolve
from featx.encoders._several_heads import SeveralHeads
from featx.encoders._timm import _weights
from featx.exceptions import ParameterError
from featx.images import Preprocess

# Of each of timm's modules a small member: to find it anew would mean building them all. Those of more than 30 million
# parameters, and of modules that came later, are left to ``python -m tests.benchmarks.families``.
SMALL = [
    "test_byobnet",
    "halonet_h1",
    "cait_xxs24_224",
    "coat_tiny",
    "convit_tiny",
    "convmixer_768_32",
    "test_convnext",
    "cpubone_nano",
    "crossvit_tiny_240",
    "csatv2",
    "cs3darknet_focus_s",
    "cspnext_tiny",
    "davit_tiny",
    "deit_tiny_distilled_patch16_224",
    "densenet121",
    "dla46x_c",
    "dpn48b",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "test_efficientnet",
    "efficientvim_m1",
    "efficientvim_m1_dist",
    "efficientvit_b0",
    "efficientvit_m0",
    "eva02_tiny_patch14_224",
    "fasternet_t0",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "gcvit_xxtiny",
    "ghostnet_050",
    "hardcorenas_b",
    "hgnetv2_b0",
    "hiera_tiny_224",
    "sam2_hiera_tiny",
    "hrnet_w18_small",
    "iformer_t",
    "inception_next_atto",
    "inception_v3",
    "lcnetv2_small",
    "levit_128s",
    "lowformer_b0",
    "test_mambaout",
    "test_coatnet",
    "poolformerv2_s12",
    "gmlp_ti16_224",
    "mobilenetv3_small_050",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "nest_tiny",
    "pit_ti_distilled_224",
    "pvt_v2_b0",
    "rdnet_tiny",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m1",
    "res2next50",
    "resnest14d",
    "test_resnet",
    "resnetv2_18",
    "rexnet_100",
    "legacy_seresnet18",
    "sequencer2d_s",
    "shvit_s1",
    "skresnet18",
    "starnet_s050",
    "swiftformer_xs",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window16_256",
    "swinv2_cr_tiny_224",
    "tiny_vit_5m_224",
    "tnt_s_legacy_patch16_224",
    "twins_svt_small",
    "visformer_tiny",
    "test_vit",
    "test_vit_relpos",
    "vitamin_small_224",
    "volo_d1_224",
    "ese_vovnet19b_slim_dw",
    "legacy_xception",
    "xception41p",
    "xcit_nano_12_p8_224",
    "test_nfnet",
]
# The same of torchvision's.
SMALL_TORCHVISION = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vit_b_32",
]
_SIDES = (96, 128)
_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)


@cache
def timm_families() -> dict[tuple[str, str], list[str]]:
    """timm's models by their module and the first letters of their names."""
    families: dict[tuple[str, str], list[str]] = {}
    for module in sorted(timm.list_modules()):
        for name in timm.list_models(module=module):
            families.setdefault((module, re.match(r"[a-z]+", name)[0]), []).append(name)
    return families


def feature_error(name: str) -> tuple[float, float, int]:
    """How far featx's feature of a timm model is from timm's own.

    Parameters
    ----------
    name : str

    Returns
    -------
    before_logits, without_classifier : float
        Relative L2 to ``forward_head(forward_features(x), pre_logits=True)``, and to the output of the network without
        its classifier; infinite where the shapes differ.
    dim : int
    """
    with drawn_fast():
        (spec,) = resolve(f"timm:{name}", weights="random")
        network = build_network([spec])
    if not timm.models.get_pretrained_cfg(name).fixed_input_size:  # a small image does as well, where it is taken
        for side in _SIDES:
            with suppress(RuntimeError, AssertionError):
                return _feature_error(spec, network, min(side, spec.preprocess.size))
    return _feature_error(spec, network, spec.preprocess.size)


def _feature_error(spec, network: nn.Module, side: int) -> tuple[float, float, int]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8, generator=generator)
    model = network.network.network if isinstance(network.network, SeveralHeads) else network.network
    with torch.inference_mode():
        x = (pixels.permute(0, 3, 1, 2).float() - network.mean) / network.std
        (feature,) = network(pixels)
        before_logits = model.forward_head(model.forward_features(x), pre_logits=True)
    if spec.dim is not None:
        assert spec.dim == feature.shape[1]
    model.reset_classifier(0)
    with torch.inference_mode():
        without_classifier = model.eval()(x)
    return _distance(feature, before_logits), _distance(feature, without_classifier), feature.shape[1]


def classifier_error(name: str) -> tuple[float, int]:
    """How far featx's feature of a torchvision model is from what goes into the layer that gives its classes."""
    (spec,) = resolve(name, weights="random")
    with drawn_fast():
        network = build_network([spec])
    entries = []
    for node in network.network.modules():
        if getattr(node, "out_features", getattr(node, "out_channels", 0)) == 1000:
            node.register_forward_pre_hook(lambda _, inputs: entries.append(inputs[0].detach().clone()))
    side = spec.preprocess.size
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (feature,) = network(pixels)
    entry = entries[-1] if entries[-1].ndim == 2 else entries[-1].mean((2, 3))
    assert spec.dim == feature.shape[1]
    return _distance(feature, entry), feature.shape[1]


def _distance(got: torch.Tensor, wanted: object) -> float:
    if not isinstance(wanted, torch.Tensor) or got.shape != wanted.shape:
        return float("inf")
    assert float(wanted.std()) > 0
    return float((got - wanted).norm() / wanted.norm())


def pixel_shift(preprocess: Preprocess, transform: object, size: tuple[int, int] = (640, 427)) -> float:
    """How far featx moves what an image shows, in pixels of the network's input, from where a library has it.

    The image is two ramps, so that the color of a pixel shows where in the image it comes from.

    Parameters
    ----------
    preprocess : Preprocess
    transform : callable
        The library's own: image -> normalized tensor (3, size, size).
    size : (width, height)

    Returns
    -------
    float
        At worst. One level of grey, which rounding takes, is not counted.
    """
    width, height = size
    ramps = [np.linspace(0, 255, width)[None, :], np.linspace(0, 255, height)[:, None], np.full((1, 1), 128)]
    image = Image.fromarray(np.stack([np.broadcast_to(r, (height, width)) for r in ramps], -1).round().astype("uint8"))
    theirs = transform(image).permute(1, 2, 0).numpy()
    ours = (preprocess(image) / 255 - preprocess.mean) / preprocess.std
    levels = 255 * np.abs(ours - theirs) * preprocess.std
    # Levels that a ramp rises by from one pixel of the input to the next.
    side = preprocess.resize or preprocess.size
    scale = side / (max(size) if preprocess.fit == "pad" else min(size))
    rises = [255 / side] * 2 if preprocess.fit == "squash" else [255 / (scale * width), 255 / (scale * height)]
    inside = levels[:, :, :2] if preprocess.fit != "pad" else _inside(levels[:, :, :2], scale, size)
    assert levels[:, :, 2].max() <= 1 or preprocess.fit == "pad"
    return float(max(np.maximum(inside[:, :, i] - 1, 0).max() / rises[i] for i in (0, 1)))


def _inside(levels: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """Without the background, and the line in which it begins."""
    across, down = (max(0, (len(levels) - int(scale * side)) // 2 + 2) for side in size)
    return levels[down : len(levels) - down, across : len(levels) - across]


def timm_transforms() -> Iterator[tuple[str, Preprocess | None, object]]:
    """One of timm's published models for each way in which they want their images, featx's way and timm's own.

    Where featx refuses there is no Preprocess.
    """
    seen = set()
    for name in timm.list_pretrained():
        config = timm.models.get_pretrained_cfg(name)
        given = timm.data.resolve_data_config({}, pretrained_cfg=config.to_dict())
        if str(given) not in seen:
            seen.add(str(given))
            with suppress(ParameterError):
                yield name, _weights(name, config).preprocess, timm.data.create_transform(**given)
                continue
            yield name, None, given


def torchvision_transforms() -> Iterator[tuple[str, Preprocess, object]]:
    """The same of torchvision's published weights."""
    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            if weights.name != "IMAGENET1K_FEATURES":
                (spec,) = resolve(name, weights=weights.name)
                yield f"{name} {weights.name}", spec.preprocess, weights.transforms()


class _Draws(TorchFunctionMode):
    """Draws of weights repeat a few numbers: drawing each takes most of the time of building a network."""

    def __init__(self):
        super().__init__()
        self._uniform = torch.rand(65536, generator=torch.Generator().manual_seed(0))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in _DRAWS or args[0].numel() < 1000:
            return function(*args, **kwargs)
        if args[0].is_meta:  # without values; torch takes milliseconds for it
            return args[0]
        tensor, *given = args
        if function is torch.Tensor.erfinv_:  # of truncated normals, which may be uniform here
            return tensor
        low, high = [*given, *kwargs.values(), 0.0, 1.0][:2] if given or kwargs else (0.0, 1.0)
        values = self._uniform.repeat(-(-tensor.numel() // len(self._uniform)))[: tensor.numel()].view(tensor.shape)
        if function is torch.Tensor.normal_:
            low, high = low - 1.7 * high, low + 1.7 * high  # of mean `low` and deviation `high`
        with torch.no_grad():
            return tensor.copy_(values * (high - low) + low)


@contextmanager
def drawn_fast() -> Iterator[None]:
    """Networks made within get random weights the fast way."""
    with _Draws():
        yield
