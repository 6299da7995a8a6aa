"""The engine that is Ray: a pool of workers, each with one network, to which Ray Data hands batch after batch."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from featx._optional import import_optional
from featx._validate import check_integer, check_number
from featx.engine._process import PATH, TRIES, Process, Tries, pack
from featx.engine._worker import Answer, Worker
from featx.exceptions import DeviceError, InputError, ParameterError, UnknownNameError

# Rows of a batch: what a worker that is killed has begun in vain. It takes seconds on a processor, and on a GPU.
_ROWS, _ROWS_OF_GPU = 128, 1024
# Where a dataset has its images, unless it is told: as Ray's readers call them.
_NAMES = ("image", "bytes", "path")


@dataclass(frozen=True)
class Pool:
    """Workers of Ray.

    Attributes
    ----------
    fewest, most : int
        How many.
    n_threads : int
        Processors of each.
    num_gpus : float
        GPUs of each.
    """

    fewest: int
    most: int
    n_threads: int
    num_gpus: float

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return _ROWS_OF_GPU if self.num_gpus else _ROWS


def plan_pool(
    nodes: Sequence[tuple[int, int]], n_jobs: int | None, num_gpus: float, concurrency: tuple[int, int] | None
) -> Pool:
    """Choose how many workers there are, and how many processors each has.

    Parameters
    ----------
    nodes : sequence of (int, int)
        Processors and GPUs of each machine.
    n_jobs : int or None
        Processors of a worker, as of `ImageEncoder`: negative is a fair share.
    num_gpus : float
        GPUs of a worker.
    concurrency : (int, int) or None
        The fewest and the most workers; None is one for each GPU, or processor.

    Returns
    -------
    Pool

    Examples
    --------
    >>> from featx.engine._on_ray import plan_pool
    >>> plan_pool([(2, 0)], -1, 0, None)
    Pool(fewest=2, most=2, n_threads=1, num_gpus=0)
    >>> plan_pool([(16, 4), (64, 0)], -1, 1, None)
    Pool(fewest=4, most=4, n_threads=4, num_gpus=1)
    """

    def room(n_threads: int) -> int:
        """Count the workers that find a place."""
        return sum(min(cpus // n_threads, int(gpus / num_gpus) if num_gpus else cpus) for cpus, gpus in nodes)

    if n_jobs is None or n_jobs > 0:
        n_threads = n_jobs or 1
        fewest, most = concurrency or (max(1, room(n_threads)),) * 2
    else:
        fewest, most = concurrency or (max(1, room(1)),) * 2
        shares = range(max((cpus for cpus, _ in nodes), default=1), 0, -1)
        n_threads = next((share for share in shares if room(share) >= most), 1)
    return Pool(fewest, most, n_threads, num_gpus)


def is_dataset(images: Any) -> bool:
    """Whether it is a Dataset of Ray."""
    return any(kind.__module__.startswith("ray.data") for kind in type(images).__mro__)


class OnRay:
    """Fills stores by workers of Ray; a context in which Ray runs.

    An instance that runs, or that the environment names, is used; else one is started, and shut down in the end.

    Parameters
    ----------
    num_gpus : float or None
        GPUs of each worker; None is one where there are any and the encoder may use them.
    concurrency : int, (int, int) or None
        How many workers, or the fewest and the most; None is one for each GPU, or processor.

    Raises
    ------
    MissingDependencyError
        If Ray is not installed.
    ParameterError
        If a parameter has a value that is not accepted.
    """

    def __init__(self, num_gpus: float | None, concurrency: int | tuple[int, int] | None):
        self._num_gpus = None if num_gpus is None else check_number("num_gpus", num_gpus, 0)
        self._concurrency = _check_concurrency(concurrency)
        import_optional("ray.data", extra="ray", purpose='engine="ray"')

    def __enter__(self) -> OnRay:
        import ray

        self._ray, self._started = ray, not ray.is_initialized()
        if self._started:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it ran
            ray.init(include_dashboard=False, logging_level=logging.WARNING)
        self._tries = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Tries).remote(TRIES)
        return self

    def __exit__(self, *_error: object) -> None:
        del self._tries
        if self._started:
            self._ray.shutdown()

    def fill(
        self, make: Callable[..., Worker], images: Sequence[Any], *, n_jobs: int | None, device: str | Sequence[str]
    ) -> Iterator[tuple[Sequence[int], Answer]]:
        """Fill a store with these images.

        Parameters
        ----------
        make : callable
            Makes a worker, given its number of threads and that it works together with others.
        images : sequence
            Cells.
        n_jobs, device
            As of `ImageEncoder`.

        Yields
        ------
        positions : sequence of int
            The rows of a batch; batches come in any order.
        answer : Answer
            What became of them.
        """
        pool = self._plan(n_jobs, device)
        size = min(pool.batch_size, 1 + len(images) // (2 * pool.most))
        parts = [range(start, len(images))[:size] for start in range(0, len(images), size)]
        if parts:
            # Each a block as it is; from_arrow would start a process to count its rows.
            dataset = self._ray.data.from_blocks([pack(part, images) for part in parts])
            yield from self._run(make, dataset, None, pool, size)

    def fill_dataset(
        self,
        make: Callable[..., Worker],
        dataset: Any,
        image: str | None,
        *,
        n_jobs: int | None,
        device: str | Sequence[str],
    ) -> Iterator[tuple[Sequence[str], Answer]]:
        """Fill a store with the images of a Dataset.

        Parameters
        ----------
        make, n_jobs, device
            As for `fill`.
        dataset : ray.data.Dataset
            Its images are bytes, paths, or dicts of them.
        image : str or None
            Their column; None is ``"image"``, ``"bytes"`` or ``"path"``, whichever there is, or the only one.

        Yields
        ------
        names : sequence of str
            The paths of a batch, as far as they are known; batches come in the dataset's order.
        answer : Answer
            What became of them.

        Raises
        ------
        UnknownNameError, InputError
            If there is no such column, or it holds decoded images.
        """
        pool = self._plan(n_jobs, device)
        with _settings(dataset.context, _QUIET), _quietly():
            image, columns = _choose_column(dataset, image)
            with _settings(dataset.context.execution_options, {"preserve_order": True}):
                yield from self._run(make, dataset.select_columns(columns), image, pool, pool.batch_size)

    def _plan(self, n_jobs: int | None, device: str | Sequence[str]) -> Pool:
        has = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        nodes = [(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in has]
        most = max(gpus for _, gpus in nodes)
        num_gpus = self._num_gpus
        if num_gpus is None:
            wanted = 1 if isinstance(device, str) else len(device)
            num_gpus = wanted if device != "cpu" and most >= wanted else 0
        if num_gpus > most and self._started and "RAY_ADDRESS" not in os.environ:  # a cluster may grow
            raise DeviceError(f"Got num_gpus={num_gpus:g}. Expected at most {most}, which this machine has.")
        return plan_pool(nodes, n_jobs, num_gpus, self._concurrency)

    def _run(
        self,
        make: Callable[..., Worker],
        dataset: Any,
        image: str | None,
        pool: Pool,
        size: int,
    ) -> Iterator[tuple[Any, Answer]]:
        """Have a pool of workers answer the batches of a dataset: of one that reads, or of cells that are packed."""
        ray = self._ray
        # Readers need processors too, and would wait forever for workers that had them all.
        is_alone = sum(node["Resources"].get("CPU", 0) for node in ray.nodes()) < 2
        claim = pool.n_threads if image is None else 0 if is_alone else pool.n_threads / 2
        try:
            workers = ray.put(ray.cloudpickle.dumps(partial(make, n_threads=pool.n_threads, together=True)))
        except Exception as error:
            raise ParameterError(f"The encoder or its store cannot be handed to workers of Ray: {error}.") from error
        with _settings(dataset.context, _QUIET), _quietly():
            answers = dataset.map_batches(
                Process,
                fn_constructor_args=(workers, self._tries, image),
                batch_size=size,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=pool.fewest, max_size=pool.most),
                num_cpus=claim,
                num_gpus=pool.num_gpus,
            )
            for row in answers.iter_rows():
                rows, answer = pickle.loads(row["answer"])
                if isinstance(answer, Exception):
                    raise answer
                yield rows, answer


def _check_concurrency(concurrency: Any) -> tuple[int, int] | None:
    if concurrency is None:
        return None
    if not isinstance(concurrency, tuple | list):
        return (check_integer("concurrency", concurrency),) * 2
    if len(concurrency) != 2 or concurrency[0] > concurrency[1]:
        raise ParameterError(f"Got concurrency={concurrency!r}. Expected a number of workers, or (fewest, most).")
    return check_integer("concurrency", concurrency[0]), check_integer("concurrency", concurrency[1])


def _choose_column(dataset: Any, wanted: str | None) -> tuple[str, list[str]]:
    """Find the column of images, and those to read."""
    schema = dataset.schema()
    kinds = {} if schema is None else dict(zip(schema.names, map(str, schema.types), strict=True))
    usual = list(kinds) if len(kinds) == 1 else [name for name in _NAMES if name in kinds]
    image = wanted if wanted is not None or not usual else usual[0]
    if image is None or image not in kinds:
        raise UnknownNameError("column", image, kinds, "Name the one that holds the images: image=")
    if "Tensor" in kinds[image]:
        raise InputError(
            f"Got a Dataset whose column {image!r} holds decoded images ({kinds[image]}), which lose their channels in "
            "Ray's batches. Expected their files: ray.data.read_binary_files(folder, include_paths=True)."
        )
    return image, list(dict.fromkeys([image, *([PATH] if PATH in kinds else [])]))


_QUIET = {"enable_progress_bars": False, "print_on_execution_start": False}


@contextmanager
def _settings(context: Any, settings: Mapping[str, Any]) -> Iterator[None]:
    """Change settings of a dataset, which it shares with those made of it, for a while."""
    before = {name: getattr(context, name) for name in settings}
    for name, value in settings.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Ray Data says of its own progress, and of errors that are raised or mended, out of the console."""

    def matters(record: logging.LogRecord) -> bool:
        return record.levelno == logging.WARNING and "rogress bars" not in record.getMessage()

    consoles = [handler for handler in logging.getLogger("ray.data").handlers if handler.get_name() == "console"]
    for console in consoles:
        console.addFilter(matters)
    try:
        yield
    finally:
        for console in consoles:
            console.removeFilter(matters)
