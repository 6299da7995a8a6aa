"""The command that serves a bundle: its options, uvicorn, and the end by a signal.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from ..._machine import count_threads
from ...exceptions import FeatxError, ParameterError
from .._predictor import Predictor
from ._app import create_app
from ._request import Limits

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long open connections may still bring a request after the order to stop: one may be on its way.
_GRACE = 0.3
_BACKLOG = 2048
_OPEN_FILES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a bundle until SIGTERM or Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, default=None
        If None, the arguments of the process.

    Returns
    -------
    int
        The exit status: 0, or 2 if the bundle or an option cannot be used.
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message).300s", level=logging.INFO)
    try:
        predictor = Predictor(parsed.bundle, n_jobs=1, max_pixels=parsed.max_pixels)
        # The first prediction is the slowest, and a bundle that cannot make one is of no use.
        predictor.outputs(_sample(predictor.manifest["inputs"]), predictor.manifest["outputs"] or ["embedding"])
        listener = _listen(parsed.host, parsed.port)
    except (FeatxError, OSError) as error:
        print(f"serve.py: error: {error}", file=sys.stderr)
        return 2
    limits = Limits(parsed.queue, parsed.max_images, parsed.max_bytes, parsed.timeout)

    def lifespan(app: Any) -> AbstractAsyncContextManager[None]:
        return _until_a_signal(app, listener)

    config = uvicorn.Config(
        create_app(predictor, limits, parsed.n_jobs, lifespan),
        log_config=None,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(parsed.timeout)),
    )
    for number in _SIGNALS:  # uvicorn raises a signal again when it has stopped
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve.py",
        description="Serve an image model over HTTP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, help="folder of the bundle; None is the one that serve.py lies in")
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is all of them")
    add("--port", type=_port, default=8000, help="0 is any that is free")
    add("--n-jobs", type=_n_jobs, default="-1", metavar="N", help="threads that predict; -1 is one per processor")
    add("--queue", type=_positive, default=64, metavar="N", help="requests at once; others are refused (429)")
    add("--max-images", type=_positive, default=32, metavar="N", help="images in a request")
    add("--max-bytes", type=_size, default="20MB", metavar="SIZE", help="size of a request")
    add("--max-pixels", type=_positive, metavar="N", help="pixels of an image; None is the pipeline's limit")
    add("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds to send a request, and to stop")
    return parser


def _sample(inputs: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Make one row that the bundle accepts."""
    values = {"image": np.zeros((64, 64, 3), np.uint8), "number": 0.0, "integer": 0, "category": ""}
    return {entry["name"]: [(entry.get("known") or [values[entry["kind"]]])[0]] for entry in inputs}


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket here, so that it can be closed before its connections are."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Accepted sockets inherit it; asyncio sets it on none of them, as create_server does not name their protocol.
    # Without it the body of an answer waits for the acknowledgement of its head, 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(ImportError, ValueError, OSError):  # a shell's 1024 are few; beyond them asyncio floods the log
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))
    shown = f"[{host}]" if ":" in host else host
    logging.getLogger(__name__).info("running on http://%s:%d (Ctrl-C to stop)", shown, listener.getsockname()[1])
    return listener


@asynccontextmanager
async def _until_a_signal(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """On a signal, accept no more connections, and hand the signal to uvicorn when those that are open had a moment.

    uvicorn closes idle connections at once, and a client may just be sending its next request on one.
    """
    loop = asyncio.get_running_loop()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    tasks = []

    def begin(number: int, frame: Any) -> None:
        for each in _SIGNALS:  # a second signal is for uvicorn
            signal.signal(each, handlers[each])
        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(stop(number))))

    async def stop(number: int) -> None:
        app.state.service.stopping = True
        await asyncio.sleep(0)  # accepts the connections that wait in line
        with suppress(NotImplementedError, OSError):  # on Windows, and macOS: there uvicorn closes it
            loop.remove_reader(listener)
            listener.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(_GRACE)
        handlers[number](number, None)

    for number in _SIGNALS:
        signal.signal(number, begin)
    yield
    app.state.service.close()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 65535")
    return int(text)


def _n_jobs(text: str) -> int:
    try:
        return count_threads(int(text))
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?)B?", text.upper())
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a size such as 20MB")
    number, unit = match.groups()
    return round(float(number) * _UNITS[unit])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number of seconds above 0")
    return number
