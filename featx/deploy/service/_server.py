"""The service of a bundle: ``python serve.py`` inside one."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import re
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if __name__.startswith("featx."):
    from featx._machine import count_processors
    from featx.deploy._predictor import Predictor
    from featx.deploy.service._memory import MEGABYTE, guard, resident, share, tame_malloc
    from featx.deploy.service._request import Limits
    from featx.deploy.service._service import create_app
    from featx.exceptions import FeatxError
else:  # in a bundle, where featx is not installed
    from predictor._machine import count_processors
    from predictor.deploy._predictor import Predictor
    from predictor.deploy.service._memory import MEGABYTE, guard, resident, share, tame_malloc
    from predictor.deploy.service._request import Limits
    from predictor.deploy.service._service import create_app
    from predictor.exceptions import FeatxError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
# Where the platform does not say what a loaded process takes.
_GUESS = 200 * MEGABYTE
# How long connections may still bring a request after the order to stop: one that is on its way is not lost.
_GRACE = 0.3
_OPEN_FILES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a bundle until SIGTERM or Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, default=None
        None is the process's own.

    Returns
    -------
    int
        The exit status: 0, or 2 for a bundle or an option that cannot be used.
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message).300s", level=logging.INFO)
    tame_malloc()
    try:
        app = _load(parsed)
    except FeatxError as error:
        print(f"serve.py: error: {error}", file=sys.stderr)
        return 2
    _allow_connections()
    # uvicorn raises a signal again once it has stopped in good order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        _Server(_configure(app, parsed)).run()
    except SystemExit:  # uvicorn has said what prevents it, such as an address in use
        return 2
    finally:
        app.state.service.close()
    return 0


def _configure(app: Any, parsed: argparse.Namespace) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=parsed.host,
        port=parsed.port,
        log_config=None,
        lifespan="off",
        ws="none",
        http=partial(_Connection, patience=parsed.timeout),
        server_header=False,
        timeout_graceful_shutdown=max(1, round(parsed.timeout)),
    )


def _parser() -> argparse.ArgumentParser:
    show = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        prog="serve.py", description="Serve an image model over HTTP.", formatter_class=show
    )
    add, here = parser.add_argument, Path(__file__).parent
    add("bundle", nargs="?", type=Path, default=here, help="folder of the bundle")
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is all of them")
    add("--port", type=_port, default=8000, help="0 is any that is free")
    add("--threads", type=_positive, default=count_processors(), metavar="N", help="processors that predict")
    add("--memory", type=_size, metavar="SIZE", help="that the process keeps below; None is 512MB, or what it needs")
    add("--queue", type=_positive, default=64, metavar="N", help="requests at once; more are told to come back (429)")
    add("--max-images", type=_positive, default=32, metavar="N", help="images a request")
    add("--max-bytes", type=_size, default="20MB", metavar="SIZE", help="of a request")
    add("--max-pixels", type=_positive, metavar="N", help="of an image; None is the pipeline's limit")
    add("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds to send a request, and to stop")
    return parser


def _load(parsed: argparse.Namespace) -> Any:
    """The application, warm, with the memory that is left shared out."""
    predictor = Predictor(parsed.bundle, n_jobs=1, max_pixels=parsed.max_pixels)
    sample = _sample(predictor.card["inputs"])
    with ThreadPoolExecutor(parsed.threads) as pool:
        list(pool.map(lambda _: predictor.outputs(sample, predictor.card["outputs"] or ["embedding"]), range(50)))
    used = resident() or _GUESS
    memory = parsed.memory or max(512 * MEGABYTE, used + 340 * MEGABYTE)
    shares = share(memory, used, parsed.threads)
    guard(memory)
    max_bytes = min(parsed.max_bytes, shares.bodies // 2)
    return create_app(predictor, Limits(parsed.queue, parsed.max_images, max_bytes, parsed.timeout), shares)


def _sample(inputs: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """One row that the bundle takes."""
    values = {"image": np.zeros((64, 64, 3), np.uint8), "number": 0.0, "integer": 0, "category": ""}
    return {entry["name"]: [(entry.get("known") or [values[entry["kind"]]])[0]] for entry in inputs}


class _Connection(H11Protocol):
    """A connection that is given up when it brings no request, or takes no answer, for a while."""

    def __init__(self, *, patience: float, **given: Any):
        super().__init__(**given)
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete and not self.flow.write_paused:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._patience, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Loses no request that has come when it is told to stop."""

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self.config.app.state.service.stopping = True
        self.server_state.default_headers.append((b"connection", b"close"))
        await asyncio.sleep(0)  # takes the connections that wait in line
        for server in self.servers:
            server.close()
        for connection in self.server_state.connections:
            if connection.cycle is not None:
                connection.cycle.keep_alive = False
        await asyncio.sleep(_GRACE)
        await super().shutdown(sockets)


def _allow_connections() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 65535")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?)B?", text.upper())
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a size such as 512MB")
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


if __name__ == "__main__":
    sys.exit(main())
