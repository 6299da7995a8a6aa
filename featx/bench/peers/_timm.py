"""timm, as its documentation has it: create_model, its own transform, a DataLoader."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from featx.bench._job import Job
from featx.bench.peers._loading import batched
from featx.bench.peers._names import timm_name
from featx.bench.peers._peer import Peer


def _build(name: str, job: Job) -> Callable[[list[str]], np.ndarray]:
    import timm

    network = timm.create_model(name, pretrained=False, num_classes=0).eval().to(job.device)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    return batched(transform, lambda batch: network(batch.to(job.device)), job.n_threads)


TIMM = Peer(name="timm", package="timm", modules=("timm",), install="timm", network=timm_name, build=_build)
