"""The options that choose an encoder, and how it runs."""

from __future__ import annotations

import argparse
from typing import Any

_CHOSEN = ("weights", "layers", "pooling", "preprocess", "precision", "decode", "device", "batch_size")


def add_encoder(command: argparse.ArgumentParser) -> None:
    """Declare them; their values are checked by `ImageEncoder`."""
    group = command.add_argument_group("encoder", "As for featx.ImageEncoder; its defaults are the defaults.")
    add = group.add_argument
    add("--encoder", default="efficientnet_lite0", metavar="NAME", help="of featx encoders; default: %(default)s")
    add("--weights", metavar="NAME|FILE", help="published ones, a .pth or .safetensors file, or random")
    add("--layers", metavar="NODE,NODE", help="early, middle, late, last or inner nodes, not the own feature")
    add("--pooling", metavar="NAME", help="avg, max, gem or flatten; with --layers")
    add("--preprocess", metavar="NAME", help="crop, squash or pad")
    add("--precision", metavar="NAME", help="float32, tf32, bfloat16 or float16")
    add("--decode", metavar="NAME", help="exact, or fast for photos of many megapixels")
    add("--device", metavar="NAME", help="auto, cpu, cuda, or several: cuda:0,cuda:1")
    add("--batch-size", type=int, metavar="N")
    cache = group.add_mutually_exclusive_group()
    cache.add_argument("--cache", metavar="DIR", help="where embeddings are kept; default: $FEATX_CACHE or your own")
    cache.add_argument("--no-cache", action="store_true", help="keep none")


def encoder_parameters(parsed: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, by the names of `ImageEncoder`."""
    parameters = {name: getattr(parsed, name) for name in _CHOSEN if getattr(parsed, name) is not None}
    for name in ("layers", "device"):
        if "," in parameters.get(name, ""):
            parameters[name] = parameters[name].split(",")
    if parsed.no_cache or parsed.cache:
        parameters["cache"] = parsed.cache or False
    return {"encoder": parsed.encoder, **parameters}
