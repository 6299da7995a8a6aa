"""A worker in a process of Ray's: batches of a dataset in, one row of answers out."""

from __future__ import annotations

import hashlib
import pickle
import traceback
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featx.engine._worker import Answer, Worker
from featx.exceptions import FeatxError, describe
from featx.images import DecodeError, RefusedImage, StoredImage, as_column, location_of, open_cell

if TYPE_CHECKING:
    import pyarrow

# Ray begins a batch again whenever its worker was killed, which may be an image's doing. After so many times it goes
# row by row, and leaves out a row that was begun as often.
TRIES = 2
_KILLED = "whichever worker encodes it is killed"
# The column of a dataset that has the paths of files, as Ray's readers call it.
PATH = "path"


class Tries:
    """Counts how often something was begun and not ended, in a process that outlives the workers."""

    def __init__(self, limit: int):
        self._limit = limit
        self._begun: Counter[Hashable] = Counter()

    def begin(self, what: Hashable) -> bool:
        """Say whether it may be begun once more."""
        self._begun[what] += 1
        return self._begun[what] <= self._limit

    def end(self, what: Hashable) -> None:
        del self._begun[what]


class Process:
    """A worker in a process of Ray's.

    Parameters
    ----------
    make : ObjectRef
        Of what makes the worker.
    tries : actor
        A `Tries`.
    image : str or None
        The column of images; None where cells are packed.
    """

    def __init__(self, make: Any, tries: Any, image: str | None):
        self._make = make
        self._tries = tries
        self._image = image
        self._worker: Worker | None = None

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Answer a batch by one row."""
        import pyarrow
        import ray

        answer: tuple[Sequence[int | str], Answer | Exception]
        try:
            # Not before: what fails here is told as it is.
            if self._worker is None:
                self._worker = ray.cloudpickle.loads(ray.get(self._make))()
            rows, images = _unpack(batch) if self._image is None else _read_column(batch, self._image)
            answer = rows, self._fill(self._worker, rows, images)
        except Exception as error:
            answer = [], _as_told(error)
        return pyarrow.table({"answer": pyarrow.array([ray.cloudpickle.dumps(answer)], pyarrow.binary())})

    def _fill(self, worker: Worker, rows: Sequence[int | str], images: Sequence[Any]) -> Answer:
        """Fill the store with a batch, unless it kills its workers: then with all but the rows that do."""
        import ray

        # A process that is killed is followed by one of the same name, which is given the same batch.
        batch = ray.get_runtime_context().get_actor_id(), _hash(rows)
        answer = self._try(batch, worker, images)
        if answer is None:
            each = (self._try((*batch, i), worker, images[i : i + 1]) for i in range(len(images)))
            answer = Answer.of_rows([row or Answer({0: _KILLED}) for row in each])
        return answer

    def _try(self, what: Hashable, worker: Worker, images: Sequence[Any]) -> Answer | None:
        """Fill the store with these images; not if they were begun too often."""
        import ray

        if not ray.get(self._tries.begin.remote(what)):
            return None
        answer = worker(images)
        self._tries.end.remote(what)
        return answer


def _hash(rows: Sequence[int | str]) -> str:
    return hashlib.sha256("\0".join(map(str, rows)).encode("utf-8", "surrogateescape")).hexdigest()


def pack(positions: Sequence[int], images: Sequence[Any]) -> pyarrow.Table:
    """Put cells into rows whose content Ray leaves as it is."""
    import pyarrow

    cells = pyarrow.array([_pickle(images[i]) for i in positions], pyarrow.large_binary())
    return pyarrow.table({"position": pyarrow.array(positions, pyarrow.int64()), "cell": cells})


def _unpack(batch: pyarrow.Table) -> tuple[list[int], list[Any]]:
    return batch["position"].to_pylist(), [pickle.loads(cell.as_buffer()) for cell in batch["cell"]]


def _pickle(cell: Any) -> bytes:
    try:
        return pickle.dumps(_portable(cell))
    except Exception as error:  # such as a PIL image of a file that ends early
        return pickle.dumps(RefusedImage(describe(cell), f"cannot be handed to a worker: {error}"))


def _portable(cell: Any) -> Any:
    """Read what only this process can read: memory of Arrow's, open files."""
    if isinstance(cell, str | bytes | StoredImage):
        return cell
    if hasattr(cell, "as_py"):
        return _portable(cell.as_py())
    if isinstance(cell, Mapping):
        return {key: _portable(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return type(cell)(map(_portable, cell))
    try:
        return open_cell(cell)
    except DecodeError:
        return cell


def _read_column(batch: pyarrow.Table, image: str) -> tuple[list[str], Any]:
    """Name the images of a batch, and give them."""
    cells = list(as_column(batch[image]).sources)
    if PATH in batch.column_names:
        return batch[PATH].to_pylist(), cells
    return [str(location_of(cell) or describe(cell)) for cell in cells], cells


def _as_told(error: Exception) -> Exception:
    """Make an error one that travels; of one that is nobody's fault but the code's, with where it came from."""
    if isinstance(error, FeatxError):
        try:
            return pickle.loads(pickle.dumps(error))
        except Exception:
            return FeatxError(f"{type(error).__name__}: {error}")
    return RuntimeError(f"A worker of Ray failed.\n{traceback.format_exc()}")
