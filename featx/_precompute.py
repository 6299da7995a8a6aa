"""Several layers of several encoders: one decode and one forward pass an encoder serve them all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx.encoders import FEATURE, Encoder, EncoderSpec, is_weights_path, published_weights
from featx.engine import Answer, CountingStore, OnRay, Worker, fill_here, is_dataset
from featx.exceptions import ParameterError, UnknownNameError, describe
from featx.extraction import embed_rows, progress_bar
from featx.images import Cells, as_column, list_any, location_of
from featx.store import Store

if TYPE_CHECKING:
    import pandas as pd

_ENGINES = ("ray",)
_COLUMNS = ("encoder", "weights", "layer", "pooling", "dim", "rows", "encoded", "seconds")


def precompute(
    X: Any,
    encoders: str | Encoder | ImageEncoder | Sequence[str | Encoder | ImageEncoder] = ("efficientnet_lite0",),
    layers: str | Sequence[str] | None = None,
    *,
    pooling: str | Sequence[str] = "avg",
    cache: bool | str | Path | Store = True,
    engine: str | EllipsisType | None = ...,
    image: str | None = None,
    num_gpus: float | None = None,
    concurrency: int | tuple[int, int] | None = None,
    **encoder_parameters: Any,
) -> pd.DataFrame:
    """Fill the store: embed images by several encoders, at several layers.

    All layers and poolings of an encoder share one decode and one forward pass, and each has separate rows, which
    `ImageEncoder` with that layer and pooling finds.

    Given an `engine`, it is a long run over many images, on one machine or on a cluster: no image ends it, memory does
    not grow with the embeddings, and the answer says of each image what became of it. Run it again after a crash: only
    what is missing is encoded.

    Parameters
    ----------
    X : container of images
        As for `ImageEncoder`. With an engine also a folder or the URL of one in an object store (``"photos/"``,
        ``"s3://bucket/photos/"``), a table as for `read_image_table` (``"products.parquet"``), a frame, or a Dataset of
        Ray whose images are bytes or paths.
    encoders : str, Encoder, ImageEncoder or sequence of them, default=("efficientnet_lite0",)
        The layers and the pooling of an ImageEncoder are not used, nor is its store.
    layers : str or sequence of str, default=None
        As for `ImageEncoder`, such as ``["middle", "late", "feature"]``; None is the network's own feature.
    pooling : str or sequence of str, default="avg"
        Each layer is pooled in each way; ``"feature"`` and ``"logits"`` are not pooled.
    cache : True, str, Path or Store, default=True
        As for `ImageEncoder`. Workers on other machines need one that all of them see: a shared folder, or
        ``"s3://bucket/folder"``.
    engine : "ray" or None, optional
        ``"ray"`` has workers of Ray encode (``pip install 'featx[ray]'``), None this process, with the same answer.
        Ray is the cluster that ``RAY_ADDRESS`` or a call of ``ray.init`` names, or else is started on this machine.
    image : str, default=None
        With an engine, the column of images in a table, a frame or a Dataset.
    num_gpus : float, default=None
        GPUs of each worker of Ray; None is one where there are any.
    concurrency : int or (int, int), default=None
        How many workers of Ray, or the fewest and the most; None is one for each GPU, or processor. They share the
        processors that there are, unless `n_jobs` says how many each has.
    **encoder_parameters
        Passed to each `ImageEncoder`.

    Returns
    -------
    pandas.DataFrame
        Given an engine, a row for each image, with the columns

        - ``image``: the cell; its path, or its size, where it is in a Dataset or in Arrow's memory
        - ``ok``: whether the store holds all its embeddings
        - ``error``: why not, ``""`` where it is ok

        and in ``attrs["encoders"]`` a list of what else it returns without: a row for each encoder, layer and pooling,
        with the columns

        - ``encoder``, ``weights``: as in `list_encoders`, ``""`` for the weights of an `Encoder`
        - ``layer``: as it was named; ``pooling``: ``""`` where there is none
        - ``dim``: length of an embedding
        - ``rows``: images that have one
        - ``encoded``: distinct images whose embedding is new in the store
        - ``seconds``: of the encoder's one pass, the same for its layers

    Raises
    ------
    ParameterError
        If nothing would be kept (``cache=False``), or a name is not known.
    ImageReadError
        Without an engine, if images are unusable; the others are in the store by then, for the encoders up to this one.
        With ``on_error="nan"`` it goes on.
    StoreError
        Given an engine, if embeddings cannot be kept.
    MissingDependencyError
        If Ray is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_sample_images
    >>> from featx._precompute import precompute
    >>> photos = load_sample_images().images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = precompute(photos, layers=["late", "feature"], cache=folder)
    ...     again = precompute([*photos, "nowhere.jpg"], cache=folder, engine=None)
    >>> table[["layer", "dim", "rows", "encoded"]]
         layer   dim  rows  encoded
    0     late   112     2        2
    1  feature  1280     2        2
    >>> again["error"].tolist()
    ['', '', 'no such file']
    >>> again.attrs["encoders"][0]["encoded"]
    0
    """
    import pandas as pd

    if cache is False or cache is None:
        raise ParameterError(f"Got cache={cache!r}: nothing would be kept. Expected True, a folder or a store.")
    several = [encoders] if isinstance(encoders, str | Encoder | ImageEncoder) else list(encoders)
    chosen = [_with_parameters(encoder, {**encoder_parameters, "cache": cache}) for encoder in several]
    layers = FEATURE if layers is None else layers
    for encoder in chosen:  # a wrong name in the last one is no reason to encode the others first
        specs_of_layers(encoder, layers, pooling)
    if engine is not ...:
        if engine is not None and engine not in _ENGINES:
            raise UnknownNameError("engine", engine, _ENGINES)
        on_ray = None if engine is None else OnRay(num_gpus, concurrency)
        return _fill_by_image(X, image, chosen, layers, pooling, on_ray)
    for name, value in (("image", image), ("num_gpus", num_gpus), ("concurrency", concurrency)):
        if value is not None:
            raise ParameterError(f'Got {name}={value!r} without an engine. Expected engine="ray", or engine=None.')
    rows = [row for encoder in chosen for row in _fill(X, encoder, layers, pooling)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def embed_layers(
    X: Any,
    encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
    layers: str | Sequence[str] = (FEATURE,),
    pooling: str | Sequence[str] = "avg",
) -> dict[tuple[str, str | None], np.ndarray]:
    """Embed images at several layers, one decode and one forward pass for all of them.

    Each layer and pooling has separate rows in the store, the same as `ImageEncoder` with that one layer has.

    Parameters
    ----------
    X : container of images
        n of them, as for `ImageEncoder`.
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        An ImageEncoder brings its device, store, preprocessing and policies along; its own layers and pooling are
        not used.
    layers : str or sequence of str, default=("feature",)
        As for `ImageEncoder`; ``"feature"`` is the network's own feature.
    pooling : str or sequence of str, default="avg"
        As for `ImageEncoder`.

    Returns
    -------
    dict of (layer, pooling) to ndarray of shape (n, dim), float32
        The layer as it was named. ``"feature"`` and ``"logits"`` are not pooled: theirs is ``(layer, None)``, once.

    Raises
    ------
    ImageReadError
        If images are unusable; the others are in the store by then.
    ParameterError
        If there is no such layer or pooling, or none is given.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from featx._precompute import embed_layers
    >>> rows = embed_layers(load_sample_images().images, layers=["feature", "blocks.4"], pooling=["avg", "max"])
    >>> {key: array.shape for key, array in rows.items()}
    {('feature', None): (2, 1280), ('blocks.4', 'avg'): (2, 40), ('blocks.4', 'max'): (2, 40)}
    """
    encoder = as_image_encoder(encoder)
    if encoder.combine == "concat":
        raise ParameterError(
            "Got combine='concat'. Expected one embedding a row for each layer: 'mean', 'max', 'first'."
        )
    named = specs_of_layers(encoder, layers, pooling)
    # Two names may be one node.
    specs = list(dict.fromkeys(named.values()))
    extraction = replace(extraction_of(encoder), specs=tuple(specs))
    rows = embed_rows(extraction.embed, column_of(encoder, X), encoder.combine)
    ends = np.cumsum(extraction.dims())
    parts = dict(zip(specs, np.split(rows, ends[:-1], axis=1), strict=True))
    return {key: parts[spec] for key, spec in named.items()}


def specs_of_layers(
    encoder: ImageEncoder, layers: str | Sequence[str], pooling: str | Sequence[str]
) -> dict[tuple[str, str | None], EncoderSpec]:
    """Resolve each layer and pooling, in the order of the layers."""
    layers, poolings = ([names] if isinstance(names, str) else list(names) for names in (layers, pooling))
    if not layers or not poolings:
        raise ParameterError(f"Got layers={layers!r} and pooling={poolings!r}. Expected at least one of each.")
    specs = {}
    for layer in layers:
        for way in poolings:
            spec = extraction_of(clone(encoder).set_params(layers=layer, pooling=way)).spec
            specs[layer, spec.pooling] = spec
    return specs


def as_image_encoder(encoder: str | Encoder | ImageEncoder) -> ImageEncoder:
    """Wrap a name or an `Encoder` in an ImageEncoder with default parameters."""
    return encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)


def _with_parameters(encoder: str | Encoder | ImageEncoder, parameters: dict[str, Any]) -> ImageEncoder:
    if isinstance(encoder, ImageEncoder):
        return clone(encoder).set_params(**parameters)
    return ImageEncoder(encoder, **parameters)


def _fill(X: Any, encoder: ImageEncoder, layers: Any, pooling: Any) -> list[dict[str, Any]]:
    kept = extraction_of(encoder).store
    assert kept is not None  # precompute refuses cache=False
    store = CountingStore(kept)
    encoder = clone(encoder).set_params(cache=store)
    specs = specs_of_layers(encoder, layers, pooling)
    started = time.perf_counter()
    embeddings = embed_layers(X, encoder, layers, pooling)
    seconds = time.perf_counter() - started
    dims = {specs[key]: rows.shape[1] for key, rows in embeddings.items()}
    n_rows = int((~np.isnan(next(iter(embeddings.values()))[:, 0])).sum())
    return _describe(encoder, specs, dims, n_rows, store.new, seconds)


def _describe(
    encoder: ImageEncoder,
    specs: Mapping[tuple[str, str | None], EncoderSpec],
    dims: Mapping[EncoderSpec, int],
    n_rows: int,
    encoded: Mapping[str, int],
    seconds: float,
) -> list[dict[str, Any]]:
    return [
        {
            "encoder": spec.name,
            "weights": _weights_name(encoder),
            "layer": layer,
            "pooling": pooling or "",
            "dim": dims.get(spec),
            "rows": n_rows,
            "encoded": encoded.get(spec.fingerprint(), 0),
            "seconds": seconds,
        }
        for (layer, pooling), spec in specs.items()
    ]


def _fill_by_image(
    X: Any, image: str | None, encoders: Sequence[ImageEncoder], layers: Any, pooling: Any, on_ray: OnRay | None
) -> pd.DataFrame:
    """Have an engine fill the store by one encoder after another, and report on each image."""
    import pandas as pd

    index = None
    if is_dataset(X):
        if on_ray is None:
            raise ParameterError('Got a Dataset of Ray with engine=None. Expected engine="ray".')
        images: Any = []
    else:
        column = as_column(list_any(X, image=image, root=encoders[0].root))
        images, index = column.sources, column.index
    errors: dict[int, str] = {}
    records: list[dict[str, Any]] = []
    with on_ray or nullcontext():
        for i, encoder in enumerate(encoders):
            specs = specs_of_layers(encoder, layers, pooling)
            make = partial(_make_worker, _as_sent(encoder), layers, pooling)
            if on_ray is None:
                answers = fill_here(make, images)
            elif is_dataset(X):
                named = on_ray.fill_dataset(make, X, image, n_jobs=encoder.n_jobs, device=_device_of(encoder, specs))
                answers = _number(named, images, first=i == 0)
            else:
                answers = on_ray.fill(make, images, n_jobs=encoder.n_jobs, device=_device_of(encoder, specs))
            total = None if is_dataset(X) else len(images)
            records += _take(answers, encoder, specs, errors, total)
    ok = np.ones(len(images), bool)
    ok[list(errors)] = False
    table = pd.DataFrame({"ok": ok, "error": [errors.get(i, "") for i in range(len(images))]}, index=index)
    if isinstance(images, Cells):  # which would all be in memory
        images = [location_of(cell) or describe(cell) for cell in images]
    # object: pandas' str cannot hold a path that is not UTF-8
    table.insert(0, "image", pd.Series(list(images), table.index, dtype=object))
    table.attrs["encoders"] = records
    return table


def _take(
    answers: Iterator[tuple[Sequence[int], Answer]],
    encoder: ImageEncoder,
    specs: Mapping[tuple[str, str | None], EncoderSpec],
    errors: dict[int, str],
    total: int | None,
) -> list[dict[str, Any]]:
    """Take in an encoder's answers: errors by row; what is returned says the rest."""
    distinct = list(dict.fromkeys(specs.values()))
    dims: Sequence[int] = ()
    encoded = np.zeros(len(distinct), np.int64)
    n_rows = 0
    started = time.perf_counter()
    with progress_bar(total, description=distinct[0].name, verbose=encoder.verbose) as bar:
        for rows, answer in answers:
            for row, reason in answer.reasons.items():
                errors.setdefault(rows[row], reason)
            encoded += np.array(answer.encoded or 0)
            dims = answer.dims or dims
            n_rows += len(rows) - len(answer.reasons)
            bar.update(len(rows))
    seconds = time.perf_counter() - started
    new = dict(zip((spec.fingerprint() for spec in distinct), encoded.tolist(), strict=True))
    return _describe(encoder, specs, dict(zip(distinct, dims, strict=False)), n_rows, new, seconds)


def _number(
    answers: Iterator[tuple[Sequence[str], Answer]], images: list[Any], *, first: bool
) -> Iterator[tuple[Sequence[int], Answer]]:
    """Give the rows of a Dataset their numbers; the first encoder tells their names."""
    start = 0
    for names, answer in answers:
        end = start + len(names)
        if first:
            images += names
        elif images[start:end] != names:
            raise ParameterError(
                "Got a Dataset that gives other rows, or another order, each time. Pass dataset.materialize(), or one "
                "encoder at a time."
            )
        yield range(start, end), answer
        start = end


def _as_sent(encoder: ImageEncoder) -> ImageEncoder:
    """Copy an encoder such that it means the same in a process elsewhere."""
    root = os.getcwd() if encoder.root is None else encoder.root
    if "://" not in str(root):
        root = os.path.abspath(os.path.expanduser(root))
    weights = encoder.weights
    if not isinstance(encoder.encoder, Encoder) and published_weights(encoder.encoder, weights) is None:
        weights = Path(weights).expanduser().absolute() if is_weights_path(weights) else weights
    return clone(encoder).set_params(cache=extraction_of(encoder).store, root=root, weights=weights, verbose=0)


def _device_of(encoder: ImageEncoder, specs: Mapping[Any, EncoderSpec]) -> str | Sequence[str]:
    """Name the device that an encoder may use: OpenVINO, and its graphs, run on the CPU."""
    on_cpu = encoder.runtime == "openvino" or any(spec.graph is not None for spec in specs.values())
    return "cpu" if on_cpu else encoder.device


def _make_worker(
    encoder: ImageEncoder, layers: Any, pooling: Any, *, n_threads: int | None = None, together: bool = False
) -> Worker:
    """Make what fills the store; in the process that works, for what "auto" is depends on its machine."""
    specs = tuple(dict.fromkeys(specs_of_layers(encoder, layers, pooling).values()))
    extraction = extraction_of(encoder)
    options = extraction.options if n_threads is None else replace(extraction.options, n_threads=n_threads)
    several = encoder.combine is not None
    extraction = replace(extraction, specs=specs, options=options)
    return Worker(extraction, partial(column_of, encoder), several=several, together=together)


def _weights_name(encoder: ImageEncoder) -> str:
    if isinstance(encoder.encoder, Encoder):
        return ""
    published = published_weights(encoder.encoder, encoder.weights)
    return str(encoder.weights) if published is None else published.name
