"""The models of timm, as ``"timm:NAME"`` where timm is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from featx._optional import import_optional
from featx.encoders._spec import Architecture, Weights
from featx.encoders._weights import build_skeleton
from featx.exceptions import ParameterError, UnknownNameError, WeightsError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch

PREFIX = "timm:"
_FITS = {"center": "crop", "squash": "squash", "border": "pad"}


@lru_cache(maxsize=64)
def architecture(name: str) -> Architecture:
    """Find a model by timm's name, without featx's prefix; ``name.tag`` chooses among its weights.

    Raises
    ------
    MissingDependencyError
        If timm is not installed.
    UnknownNameError
        If timm has no model of that name.
    """
    import_optional("timm", extra="timm", purpose=f"The encoder {PREFIX + name!r}")
    config = _find_config(name)
    classifier, dim, parameters, rename = _skeleton(name)
    return Architecture(
        name=f"{PREFIX}{config.architecture}",
        dim=dim,
        classifier=classifier,
        parameters=parameters,
        gmacs=None,
        weights=(_weights(name, config),),
        build=partial(_build, name),
        rename=rename,
    )


def _find_config(name: str) -> Any:
    import timm

    try:
        config = timm.models.get_pretrained_cfg(name) if timm.is_model(name.partition(".")[0]) else None
    except RuntimeError:  # no such tag
        config = None
    if config is None:
        known = [*timm.list_models(), *timm.list_pretrained()] if "." in name else timm.list_models()
        raise UnknownNameError("encoder", PREFIX + name, (PREFIX + model for model in known))
    return config


def _weights(name: str, config: Any) -> Weights:
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        raise ParameterError(f"{PREFIX + name!r} takes images of {config.input_size}; featx needs square RGB ones.")
    fit = _FITS.get(config.crop_mode, "crop")
    if config.crop_pct > 1 or (fit == "pad" and config.crop_pct < 1):
        raise ParameterError(
            f"{PREFIX + name!r} takes images with crop_pct={config.crop_pct} and crop_mode={config.crop_mode!r}, which "
            "no featx.Preprocess describes. Wrap the network with featx.Encoder.from_factory and your own Preprocess."
        )
    return Weights(
        name=config.tag or "default",
        identity=f"{PREFIX}{config.architecture}.{config.tag}",
        preprocess=Preprocess(
            size=height,
            resize=int(height / config.crop_pct),
            fit=fit,
            interpolation=config.interpolation if config.interpolation != "random" else "bicubic",
            mean=config.mean,
            std=config.std,
        ),
        top1=None,
        source=config.origin_url or "https://github.com/huggingface/pytorch-image-models",
        license=config.license or "unknown",
        is_local=lambda: False,  # timm's cache cannot be looked up offline
        load=partial(_load, name),
    )


def _skeleton(name: str) -> tuple[str | None, int | None, float, Callable[[str], str]]:
    """Find the classifier node, its input's length, millions of parameters, and how keys are renamed.

    The network is built without memory.
    """
    import torch

    from featx.encoders._several_heads import CLASSIFIER, SeveralHeads, rename

    model = build_skeleton(partial(_build, name), 0)
    parameters = round(sum(p.numel() for p in model.parameters()) / 1e6, 3)
    if isinstance(model, SeveralHeads):
        return CLASSIFIER, model.network.head_hidden_size, parameters, rename
    head = model.get_classifier() if hasattr(model, "get_classifier") else None  # encoders of other models have none
    node = next((node for node, module in model.named_modules() if node and module is head), None)
    if node is None or isinstance(head, torch.nn.Identity):
        return None, None, parameters, str
    # What another kind of classifier takes is known only once it runs.
    return node, getattr(head, "in_features", getattr(head, "in_channels", None)), parameters, str


def _build(name: str, _size: int) -> torch.nn.Module:
    import timm

    from featx.encoders._several_heads import join_heads

    return join_heads(timm.create_model(name, pretrained=False))


def _load(name: str) -> dict[str, torch.Tensor]:
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:
        raise WeightsError(
            f"timm could not fetch the weights of {name!r} ({error}). Pass the path of a file as weights=."
        ) from error
