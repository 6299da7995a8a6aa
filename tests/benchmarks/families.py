"""Every family of timm and every network of torchvision: is featx's feature the library's own, and are its pixels?

Prints the table of exceptions: of timm the smallest member of each family (a module, and the first letters of a name)
with up to 150 million parameters and random weights, and each way in which published weights want their images.
"""

from __future__ import annotations

import argparse
import gc
import warnings
from collections.abc import Callable, Iterator

import timm
import torch
from torchvision import models

from featx.encoders import _timm
from featx.encoders._registry import get_architecture
from tests.encoders.families import (
    SMALL,
    classifier_error,
    feature_error,
    pixel_shift,
    timm_families,
    timm_transforms,
    torchvision_transforms,
)
from tests.encoders.test_families import NEAR, SHIFT

_LARGEST_TORCHVISION = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=float, default=150, help="millions of parameters (default: %(default)s)")
    largest = parser.parse_args().largest
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    families = timm_families()
    sampled = {module for (module, _), names in families.items() if set(names) & set(SMALL)}
    print(f"timm {timm.__version__}: {len({module for module, _ in families})} modules, {len(families)} families")
    print("not in the tests' sample:", ", ".join(sorted({module for module, _ in families} - sampled)))
    _report("features of timm", _timm_features(families, largest))
    _report("features of torchvision", _torchvision_features())
    _report("pixels of timm", _shifts(timm_transforms()))
    _report("pixels of torchvision", _shifts(torchvision_transforms()))


def _timm_features(families: dict[tuple[str, str], list[str]], largest: float) -> Iterator[tuple[str, str]]:
    for (module, _), names in families.items():
        sizes = []
        for name in names:
            try:
                sizes.append((_timm.architecture(name).parameters, name))
            except Exception as error:  # of the names that featx refuses
                yield f"{module}: {name}", _told(error)
        if not sizes:
            continue
        size, name = min(sizes)
        if size > largest:
            yield f"{module}: {name}", f"not tried: {size:,.0f} million parameters"
        else:
            yield f"{module}: {name}", _try(lambda name=name: _judge(*feature_error(name)[:2]))
        gc.collect()


def _torchvision_features() -> Iterator[tuple[str, str]]:
    for name in models.list_models(module=models):
        size = get_architecture(name).parameters
        if size > _LARGEST_TORCHVISION:
            yield name, f"not tried: {size:,.0f} million parameters"
        else:
            yield name, _try(lambda name=name: _judge(classifier_error(name)[0]))


def _judge(*errors: float) -> str:
    return "" if max(errors) < NEAR else "differs by " + ", ".join(f"{error:.1e}" for error in errors)


def _shifts(transforms: Iterator[tuple]) -> Iterator[tuple[str, str]]:
    for name, preprocess, own in transforms:
        if preprocess is None:
            yield name, f"refused: {own['input_size']}, crop_pct={own['crop_pct']}, crop_mode={own['crop_mode']!r}"
        else:
            shift = pixel_shift(preprocess, own)
            yield name, "" if shift <= SHIFT else f"shifted by {shift:.1f} pixels"


def _try(judge: Callable[[], str]) -> str:
    try:
        return judge()
    except Exception as error:  # an exception of the table, not of the run
        return _told(error)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:150]}"


def _report(what: str, results: Iterator[tuple[str, str]]) -> None:
    n = 0
    for name, note in results:
        n += 1
        if note:
            print(f"  {what}: {name}: {note}", flush=True)
    print(f"{what}: {n} tried", flush=True)


if __name__ == "__main__":
    main()
