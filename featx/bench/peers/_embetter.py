"""embetter's ImageLoader and TimmEncoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import numpy as np

from featx.bench._job import Job
from featx.bench.peers._names import timm_name
from featx.bench.peers._peer import Peer


def _build(name: str, job: Job) -> Callable[[list[str]], np.ndarray]:
    import timm
    from embetter.vision import ImageLoader, TimmEncoder

    with patch.object(timm, "create_model", partial(_create_without_hub, timm.create_model)):
        encoder = TimmEncoder(name)
    loader = ImageLoader()
    return lambda paths: encoder.transform(loader.transform(paths))


def _create_without_hub(create: Callable, name: str, *, pretrained: bool, **options: object):
    return create(name, pretrained=False, **options)


EMBETTER = Peer(
    name="embetter",
    package="embetter",
    modules=("embetter", "timm"),
    install="embetter[vision]",
    network=timm_name,
    build=_build,
)
