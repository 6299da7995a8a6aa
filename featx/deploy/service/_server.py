"""The command that serves a bundle: its options, uvicorn, and signals.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..._exit_status import run_command
from ..._machine import count_threads
from ...exceptions import BundleError, ParameterError
from ._app import Service
from ._keys import PROTECTABLE, VARIABLE, read_keys
from ._log import log_as_json
from ._metrics import Metrics
from ._models import Models
from ._request import REASONS, Limits

_log = logging.getLogger(__name__)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long open connections may still bring a request after the order to stop: one may be on its way.
_GRACE = 0.3
_BACKLOG = 2048
_OPEN_FILES = 4096
_LARGEST_HEAD = 65536


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a bundle until SIGTERM or Ctrl-C; on SIGHUP take the one that lies in its folder then.

    Parameters
    ----------
    arguments : sequence of str, default=None
        If None, the arguments of the process.

    Returns
    -------
    int
        The exit status: 0; 2 if the bundle or an option cannot be used; else as `run_command` has it.
    """
    parsed = _parser().parse_args(arguments)
    return run_command("serve.py", lambda: _serve(parsed))


def _serve(parsed: argparse.Namespace) -> int:
    log_as_json()
    with suppress(AttributeError):  # on Windows
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a model to replace
    limits = Limits(parsed.queue, parsed.max_images, parsed.max_bytes, parsed.timeout)
    metrics = Metrics(REASONS)
    keys = read_keys(parsed.api_key_file, os.environ)
    if parsed.protect and keys is None:
        raise ParameterError(f"Got --protect without an API key. Expected --api-key-file or {VARIABLE}.")
    options = {"name": parsed.name, "max_pixels": parsed.max_pixels, "keyed": keys is not None}
    models = Models(parsed.bundle, limits, metrics, **options)
    listener = _listen(parsed.host, parsed.port)
    _log.info("serving %s of %s", models.current.header.decode(), models.folder)
    shown = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    _log.info("running on http://%s:%d (Ctrl-C to stop)", shown, listener.getsockname()[1])

    def lifespan(service: Service) -> AbstractAsyncContextManager[None]:
        return _until_a_signal(service, listener)

    config = uvicorn.Config(
        Service(models, metrics, limits, parsed.n_jobs, keys=keys, protect=parsed.protect, lifespan=lifespan),
        log_config=None,
        access_log=False,
        loop="asyncio",
        http=_Protocol,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(parsed.timeout)),
    )
    for number in _SIGNALS:  # uvicorn raises a signal again when it has stopped
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


class _Protocol(HttpToolsProtocol):
    """uvicorn's, in a third of the time that its other one takes, and with a limit to the head that it lacks."""

    _unread = 0  # bytes since the last that belonged to a whole head, or to a body

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unread = 0
        super().on_body(body)


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
    add("--name", help="name of the model, in answers and metrics; None is that of its folder")
    add(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"keys that clients need, one a line; or the variable {VARIABLE}",
    )
    add("--protect", nargs="+", default=(), choices=sorted(PROTECTABLE), help="what needs a key beside predictions")
    add("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds to send a request, and to stop")
    return parser


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket here, so that it can be closed before its connections are."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise ParameterError(
            f"Cannot listen at {host}, port {port}: {reason}. Expected a --port that is free, and as --host an address "
            "of this machine."
        ) from error
    # Accepted sockets inherit it; asyncio sets it on none of them, as create_server does not name their protocol.
    # Without it the body of an answer waits for the acknowledgement of its head, 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(ImportError, ValueError, OSError):  # a shell's 1024 are few; beyond them asyncio floods the log
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))
    return listener


@asynccontextmanager
async def _until_a_signal(service: Service, listener: socket.socket) -> AsyncIterator[None]:
    """On a signal, accept no more connections, and hand the signal to uvicorn when those that are open had a moment.

    uvicorn closes idle connections at once, and a client may just be sending its next request on one. SIGHUP is the
    order to take the bundle that lies in the folder now.
    """
    loop = asyncio.get_running_loop()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    tasks = set()

    def start(task: Coroutine[Any, Any, None]) -> None:
        tasks.add(running := loop.create_task(task))
        running.add_done_callback(tasks.discard)

    def begin(number: int, frame: Any) -> None:
        for each in _SIGNALS:  # a second signal is for uvicorn
            signal.signal(each, handlers[each])
        loop.call_soon_threadsafe(lambda: start(stop(number)))

    async def stop(number: int) -> None:
        service.stopping.set()
        await asyncio.sleep(0)  # accepts the connections that wait in line
        with suppress(NotImplementedError, OSError):  # on Windows, and macOS: there uvicorn closes it
            loop.remove_reader(listener)
            listener.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(_GRACE)
        handlers[number](number, None)

    async def reload() -> None:
        with suppress(BundleError):  # the log has it
            await service.models.reload()

    for number in _SIGNALS:
        signal.signal(number, begin)
    with suppress(NotImplementedError, AttributeError):  # on Windows
        loop.add_signal_handler(signal.SIGHUP, lambda: start(reload()))
    yield
    service.close()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 65535")
    return int(text)


def _n_jobs(text: str) -> int:
    try:
        return count_threads(int(text))
    except ValueError as error:
        reason = str(error) if isinstance(error, ParameterError) else f"got {text!r}, expected a whole number"
        raise argparse.ArgumentTypeError(reason) from error


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?)B?", text.upper())
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a size such as 20MB")
    number, unit = match.groups()
    return round(float(number) * _UNITS[unit])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of seconds above 0")
