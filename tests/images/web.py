"""A web server on loopback that answers as it is told, well or badly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


class Web(ThreadingHTTPServer):
    """Serves `files`; `behaviors` maps a path to a function that answers in another way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.files: dict[str, tuple[bytes, str | None]] = {}
        self.behaviors: dict[str, Callable[[_Handler], None]] = {}
        self.asked: Counter[str] = Counter()

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.server_address[1]}{path}"

    def serve(self, path: str, content: bytes, tag: str | None = None) -> str:
        self.files[path] = content, tag
        return self.url(path)

    def handle_error(self, request, client_address) -> None:
        """Clients that leave are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked[self.command] += 1
        path = self.path.partition("?")[0]
        if path in self.server.behaviors:
            self.server.behaviors[path](self)
            return
        if path not in self.server.files:
            self.send_error(404)
            return
        content, tag = self.server.files[path]
        self.send_response(200)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args) -> None:
        """Say nothing."""


@contextmanager
def web_server() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def lie_about_length(content: bytes) -> Callable[[_Handler], None]:
    def answer(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(2 * len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def drop(handler: _Handler) -> None:
    handler.connection.close()


def break_off_in_headers(handler: _Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nContent-Len")


def stall(handler: _Handler) -> None:
    time.sleep(5)


def drip(handler: _Handler) -> None:
    """Send a byte now and then, without end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        return


def drip_headers(handler: _Handler) -> None:
    try:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        return


def redirect(location: str) -> Callable[[_Handler], None]:
    def answer(handler: _Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.end_headers()

    return answer


def flood(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        return
