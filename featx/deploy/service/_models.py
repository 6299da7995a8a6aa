"""The model that serves, and how a replaced bundle takes its place.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ...exceptions import BundleError, FeatxError
from .._bundle import plain, read_bundle
from .._predictor import Predictor
from ._metrics import Metrics
from ._request import Limits, Reader, takes_several
from ._schema import describe

_log = logging.getLogger(__name__)
# A model that answered this many seconds ago is not asked again whether it does.
_FRESH = 1.0
# By then the requests that were under way at a reload have let the old model go.
_SOON = 2.0


class Model:
    """A bundle that has been loaded, and whatever is read from its manifest once.

    Parameters
    ----------
    predictor : Predictor
        Best with one thread: the service's threads call it in parallel.
    name : str
    limits : Limits
    keyed : bool, default=False
        Whether the service has API keys.

    Attributes
    ----------
    digest : str
        SHA-256 over the bundle, in hex.
    reader : Reader
        Of requests for this model.
    classes : list
        As JSON has them; empty where there are no probabilities.
    labels : list of str
        The outputs that a prediction consists of; empty if the bundle only embeds.
    header : bytes
        Name and digest, as each answer has them.
    """

    def __init__(self, predictor: Predictor, name: str, limits: Limits, keyed: bool = False):
        self.predictor = predictor
        self.name = name
        self.digest: str = predictor.manifest["sha256"]
        self.reader = Reader(predictor.manifest["inputs"], limits)
        # Of several outputs labels are the answer.
        outputs = ["label"] if "width" in predictor.manifest else predictor.manifest["outputs"]
        self.classes = [] if "probabilities" not in outputs else plain(predictor.classes_)
        self.labels = [name for name in ("label", "probabilities") if name in outputs]
        self.header = f"{quote(name, safe='')}@{self.digest}".encode()
        self._limits = limits
        self._keyed = keyed
        self._answered = -_FRESH

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The interface of a service of this model, as an OpenAPI document."""
        manifest = self.predictor.manifest
        shown = (self.name, manifest["featx"], manifest["inputs"], bool(self.labels))
        return describe(*shown, self._limits.max_images, self._keyed)

    def seen_answering(self) -> None:
        """Note that it has just answered."""
        self._answered = time.monotonic()

    def check(self) -> None:
        """Raise whatever keeps it from answering; costs a prediction, unless it has just answered."""
        if time.monotonic() - self._answered < _FRESH:
            return
        self.predictor.outputs(_sample(self.predictor.manifest["inputs"]), self.labels or ["embedding"])
        self.seen_answering()


@dataclass(frozen=True)
class Failure:
    """Why the last reload was refused."""

    time: str
    error: str


class Models:
    """The model that serves, taken from a folder.

    Parameters
    ----------
    folder : str, Path or None
        The bundle's; None is the one that this file lies in.
    limits : Limits
    metrics : Metrics
    name : str, default=None
        The model's name; None is that of its folder.
    max_pixels : int, default=None
        Larger images are refused; None is the bundle's limit.
    keyed : bool, default=False
        Whether the service has API keys.

    Attributes
    ----------
    current : Model
        Whoever has taken it can go on with it after a reload.
    failure : Failure or None
        Why the last reload was refused; None if it was not.

    Raises
    ------
    FeatxError
        If the bundle cannot be used.
    """

    def __init__(
        self,
        folder: str | Path | None,
        limits: Limits,
        metrics: Metrics,
        *,
        name: str | None = None,
        max_pixels: int | None = None,
        keyed: bool = False,
    ):
        self._folder = (Path(__file__).parents[3] if folder is None else Path(folder)).expanduser().absolute()
        self._limits = limits
        self._metrics = metrics
        self._name = name or self._folder.name
        self._max_pixels = max_pixels
        self._keyed = keyed
        self._turn = asyncio.Lock()
        # Always the same one: what a model took of a thread's memory is then free for the next.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="featx-load")
        self.failure: Failure | None = None
        self.current = self._loader.submit(self._load).result()
        self._code = _code(self.current.predictor.manifest)
        metrics.show_model(self._name, self.current.digest)

    @property
    def folder(self) -> Path:
        """Where the bundle lies."""
        return self._folder

    async def reload(self) -> bool:
        """Take the bundle that lies in the folder now, once it has been loaded and has made a prediction.

        Returns
        -------
        bool
            Whether it is another one.

        Raises
        ------
        FeatxError
            Why it cannot be used; the model that serves goes on.
        """
        async with self._turn:  # one after the other: each reads the folder as it is then
            try:
                model = await asyncio.get_running_loop().run_in_executor(self._loader, self._load_other)
            except Exception as error:  # a bundle may be damaged in any way
                reason = str(error) if isinstance(error, FeatxError) else f"{type(error).__name__}: {error}"
                reason = reason.replace(str(self._folder), self._folder.name)  # clients need not know where it lies
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self.failure = Failure(now, reason)
                self._metrics.count_reload("refused")
                _log.error("reload refused, %s goes on: %s", self.current.header.decode(), reason)
                raise BundleError(reason) from error
            self.failure = None
            self._metrics.count_reload("taken" if model else "unchanged")
            if model is None:
                _log.info("reload: the bundle has not changed")
                return False
            _log.info("reload: %s takes over from %s", model.header.decode(), self.current.header.decode())
            self.current = model
            self._metrics.show_model(self._name, model.digest)
            asyncio.get_running_loop().call_later(_SOON, self._loader.submit, _trim)
            return True

    def _load_other(self) -> Model | None:
        """Load the bundle; None if it is the one that serves."""
        manifest = read_bundle(self._folder).manifest
        if manifest["sha256"] == self.current.digest:
            return None
        if _code(manifest) != self._code:
            raise BundleError(
                f"The bundle was written by another featx ({manifest['featx']}), whose code a running service cannot "
                "take. Restart the service."
            )
        model = self._load()
        # It may have been replaced while it was read: then its parts need not belong together.
        if read_bundle(self._folder).manifest["sha256"] != model.digest:
            raise BundleError("The bundle was replaced while it was read. Reload when all its files are there.")
        return model

    def _load(self) -> Model:
        predictor = Predictor(self._folder, n_jobs=1, max_pixels=self._max_pixels)
        model = Model(predictor, self._name, self._limits, self._keyed)
        # The first prediction is the slowest, and a bundle that cannot make one is of no use.
        model.check()
        _ = model.schema
        return model


def _trim() -> None:
    """Give freed memory back to the system: glibc keeps it, and each reload would add a part of a model."""
    with suppress(AttributeError, OSError, TypeError):  # elsewhere than with glibc
        ctypes.CDLL(None).malloc_trim(0)


def _code(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {name: digest for name, digest in manifest["files"].items() if name.startswith("predictor/")}


def _sample(inputs: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Make one row that the bundle accepts."""
    values = {"number": 0.0, "integer": 0, "category": ""}
    return {
        entry["name"]: [_image(entry) if entry["kind"] == "image" else (entry["known"] or [values[entry["kind"]]])[0]]
        for entry in inputs
    }


def _image(entry: Mapping[str, Any]) -> Any:
    """Make the image of a row, or as many as it has side by side."""
    image = np.zeros((64, 64, 3), np.uint8)
    if not takes_several(entry):
        return image
    return [image] * max(encoder.get("n_images") or 1 for encoder in (entry, *entry.get("also", ())))
