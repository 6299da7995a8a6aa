"""A candidate in a process of its own: its threads and its settings disturb nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from featx.exceptions import FeatxError

_PATIENCE = 5  # seconds


class Worker:
    """An object in a new process, whose methods are called from here.

    Parameters
    ----------
    factory : callable
        Makes the object over there.
    *arguments : object
        Its arguments.
    quiet : bool, default=False
        Whether what the process prints is thrown away.

    Raises
    ------
    Exception
        What the factory raised.
    """

    def __init__(self, factory: Callable[..., Any], *arguments: Any, quiet: bool = False):
        context = multiprocessing.get_context("spawn")  # a fork would take half of OpenMP's threads along
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, factory, arguments, quiet))
        self._process.start()
        theirs.close()
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def call(self, method: str) -> Any:
        """Call a method without arguments; what it raises is raised here.

        Raises
        ------
        FeatxError
            If the process ended instead.
        """
        self._connection.send(method)
        return self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is KeyboardInterrupt:
            self._process.terminate()
        self.close()

    def close(self) -> None:
        """End the process: by itself, so that it tidies up, unless it is busy."""
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


def _serve(connection: Connection, factory: Callable[..., Any], arguments: tuple, quiet: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    if quiet:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    try:
        candidate = _answer(connection, factory, *arguments, send=False)
        while candidate is not None:
            _answer(connection, getattr(candidate, connection.recv()))
    except (EOFError, ConnectionError):  # the parent is gone
        pass


def _answer(connection: Connection, function: Callable[..., Any], *arguments: Any, send: bool = True) -> Any:
    try:
        value = function(*arguments)
    except Exception as error:
        connection.send((None, _portable(error)))
        return None
    connection.send((value if send else None, None))
    return value


def _portable(error: Exception) -> Exception:
    """The error itself, if it survives the way to another process."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
