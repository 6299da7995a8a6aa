"""An object in another process: its threads and settings do not disturb the other candidates."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from featx.exceptions import FeatxError

_PATIENCE = 5  # seconds


class Worker:
    """An object in a new process, whose methods are called from here.

    Parameters
    ----------
    factory : callable
        Makes the object in the new process; what it raises is raised here.
    *arguments : object
        The factory's positional arguments.
    quiet : bool, default=False
        Whether to discard what the process prints.
    **options : object
        The factory's keyword arguments.
    """

    def __init__(self, factory: Callable[..., Any], *arguments: Any, quiet: bool = False, **options: Any):
        context = multiprocessing.get_context("spawn")  # a fork would take half of OpenMP's threads along
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, partial(factory, *arguments, **options), quiet))
        self._process.start()
        theirs.close()
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def call(self, method: str) -> Any:
        """Call a method without arguments; what it raises is raised here, FeatxError if the process ended."""
        self._connection.send(method)
        return self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is KeyboardInterrupt:
            self._process.terminate()
        self.close()

    def close(self) -> None:
        """Let the process end by itself, so that it tidies up; terminate it if it is busy."""
        self._connection.close()
        self._process.join(_PATIENCE)
        self._process.terminate()
        self._process.join()

    def _receive(self) -> Any:
        try:
            value, error = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise FeatxError(f"its process ended with exit code {self._process.exitcode}") from None
        if error is not None:
            raise error
        return value


def _serve(connection: Connection, factory: Callable[[], Any], quiet: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    if quiet:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    try:
        candidate = _answer(connection, factory, send=False)
        while candidate is not None:
            _answer(connection, getattr(candidate, connection.recv()))
    except (EOFError, ConnectionError):  # the parent is gone
        pass


def _answer(connection: Connection, function: Callable[[], Any], send: bool = True) -> Any:
    try:
        value = function()
    except Exception as error:
        connection.send((None, _portable(error)))
        return None
    connection.send((value if send else None, None))
    return value


def _portable(error: Exception) -> Exception:
    """Return the error itself if it can be pickled, else a RuntimeError with its text."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
