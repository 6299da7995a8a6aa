"""Object stores for the tests: S3 on loopback, a door to it that drops and refuses, and one of fsspec that fails."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidAccessKeyId</Code><Message>The key that you gave does not exist.</Message></Error>"""


@contextmanager
def serve_s3(folder: Path) -> Iterator[str]:
    """Serve S3's protocol on loopback, and tell fsspec of it as a user does; gives its address."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
        forget_s3()
        yield f"{host}:{port}"
    forget_s3()
    server.stop()


def forget_s3() -> None:
    """Let fsspec look again where S3 is."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def count_requests() -> Iterator[Counter[str]]:
    """Count what S3 is asked, by the operation's name."""
    import s3fs

    asked: Counter[str] = Counter()
    original = s3fs.S3FileSystem._call_s3

    async def counting(self, method, *args, **options):
        asked[method] += 1
        return await original(self, method, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", counting)
        yield asked


class Door(ThreadingHTTPServer):
    """A server before S3 that hangs up in the middle of some requests, or refuses them all.

    Parameters
    ----------
    address : str
        Of S3.

    Attributes
    ----------
    drops : Counter of str
        How many of the next requests of a method end in the middle: of the body that is sent, or of the answer.
    refuses : bool
        Whether credentials are refused.
    """

    daemon_threads = True

    def __init__(self, address: str):
        super().__init__(("127.0.0.1", 0), _Visit)
        self.address = address
        self.drops: Counter[str] = Counter()
        self.refuses = False

    def __enter__(self) -> Door:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.shutdown()
        self.server_close()


class _Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Door

    def log_message(self, *args) -> None:
        pass

    def _answer(self) -> None:
        self.close_connection = True
        length = int(self.headers.get("Content-Length") or 0)
        drop = self.server.drops[self.command] > 0 and ".safetensors" in self.path
        if drop:
            self.server.drops[self.command] -= 1
        body = self.rfile.read(length // 2 if drop else length)
        if drop and self.command == "PUT":
            return
        if self.server.refuses:
            status, headers, content = 403, [("Content-Type", "application/xml")], REFUSAL
        else:
            behind = http.client.HTTPConnection(self.server.address, timeout=60)
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            status, headers, content = answer.status, answer.getheaders(), answer.read()
            behind.close()
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if drop else content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815


class Flaky(MemoryFileSystem):
    """A file system of fsspec of the scheme ``flaky``, whose next transfers fail as often as it is told."""

    protocol = "flaky"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failing: ClassVar[Counter[str]] = Counter()
    asked: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("flaky://", "memory://"))

    def _fail(self, name: str) -> bool:
        self.asked[name] += 1
        self.failing[name] -= 1
        return self.failing[name] >= 0

    def ls(self, path, detail=True, **kwargs):
        if self._fail("ls"):
            raise ConnectionResetError("Connection reset by peer")
        return super().ls(path, detail, **kwargs)

    def put_file(self, lpath, rpath, **kwargs):
        if self._fail("put_file"):
            raise ConnectionResetError("Connection reset by peer")
        super().put_file(lpath, rpath, **kwargs)

    def get_file(self, rpath, lpath, **kwargs):
        if self._fail("get_file"):  # a server that ends early, and nobody notices
            Path(lpath).write_bytes(self.cat_file(rpath)[:-9])
        else:
            super().get_file(rpath, lpath, **kwargs)

    def rm(self, path, recursive=False, maxdepth=None):
        if not self._fail("rm"):  # as S3, which says nothing of what it may not delete
            super().rm(path, recursive, maxdepth)


@contextmanager
def register_flaky() -> Iterator[type[Flaky]]:
    """Make the scheme known, with nothing in it."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.store.clear()
    Flaky.pseudo_dirs[:] = [""]
    Flaky.failing.clear()
    Flaky.asked.clear()
    yield Flaky
