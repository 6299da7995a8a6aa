"""Images of web servers: one request each, within limits of size and time, and never to an address that is private."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from featx._version import __version__
from featx.images._cell import DecodeError
from featx.images._memo import FileState
from featx.images._source import KeptImage

MAX_BYTES = 100_000_000
MAX_SECONDS = 60.0
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = 5
_TRIES = 3
_THREADS = 16
_CHUNK = 1 << 16
_SAFE = "/%:@!$&'()*+,;=~-._?"
_HEADERS = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity", "User-Agent": f"featx/{__version__}"}
_LATER = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, repr=False)
class HttpImage(KeptImage):
    """An image of a web server.

    Parameters
    ----------
    url : str
        Of scheme http or https.
    hosts : tuple of str
        The hosts that may be asked, private ones too; empty stands for all that have a public address.
    """

    url: str
    hosts: tuple[str, ...] = ()

    is_remote = True
    tells_its_state = True

    @property
    def name(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def read(self) -> bytes:
        return self.fetch()[0]

    def fetch(self) -> tuple[bytes, FileState | None]:
        answer = _ask(self, "GET")
        return answer.content, answer.state

    @classmethod
    def states(cls, images: Sequence[HttpImage]) -> list[FileState | str]:
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(_state_of, images))


def _state_of(image: HttpImage) -> FileState | str:
    try:
        return _ask(image, "HEAD").state
    except DecodeError as error:
        return str(error)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def state(self) -> FileState:
        # A weak one names what looks the same.
        tag = self.headers.get("ETag", "")
        known = f"ETag {tag}" if tag and not tag.startswith("W/") else ""
        return FileState(known.encode(), len(self.content))


class _TryAgain(Exception):  # noqa: N818 - no error, unless it is the last
    pass


def _ask(image: HttpImage, method: str) -> _Answer:
    """Ask, and go where the answer sends it."""
    url, deadline = image.url, time.monotonic() + MAX_SECONDS
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        answer = _try(parts, method, image.hosts, deadline)
        if answer.status not in (301, 302, 303, 307, 308):
            break
        where = answer.headers.get("Location")
        target = urlsplit(urljoin(url, where) if where else "")
        if target.scheme not in _PORTS or (parts.scheme, target.scheme) == ("https", "http"):
            raise DecodeError(f"redirected from {parts.scheme} to {target.scheme or 'nowhere'}, which is not followed")
        url = target.geturl()
    else:
        raise DecodeError(f"redirected more than {_REDIRECTS} times")
    if answer.status in (404, 410):
        raise DecodeError(f"no such file (HTTP {answer.status})")
    if answer.status != 200:
        raise DecodeError(f"HTTP {answer.status} {http.client.responses.get(answer.status, '')}".rstrip())
    return answer


def _try(parts: SplitResult, method: str, hosts: Sequence[str], deadline: float) -> _Answer:
    for wait in (*(0.2 * 4**n for n in range(_TRIES - 1)), None):
        try:
            return _request(parts, method, hosts, deadline)
        except _TryAgain as error:
            if _left(deadline) <= _SHORTEST:  # what was cut off looks like an end
                raise _too_long() from error
            if wait is None or time.monotonic() + wait > deadline:
                raise DecodeError(str(error)) from error.__cause__
            time.sleep(wait)
    raise AssertionError("the last try answers or raises")


def _request(parts: SplitResult, method: str, hosts: Sequence[str], deadline: float) -> _Answer:
    host, port = _host_of(parts)
    try:
        address = _address_of(host, port, hosts)
        plain = socket.create_connection(address, timeout=_left(deadline))
    except OSError as error:
        raise _TryAgain(f"no connection to {host}: {error.strerror or error}") from error
    # A server that sends a byte now and then keeps every single wait short.
    watch = threading.Timer(_left(deadline), _shut, [plain])
    watch.daemon = True
    watch.start()
    connection = http.client.HTTPConnection(host, port)
    try:
        with closing(connection):
            if parts.scheme == "https":
                plain = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
                watch.args = [plain]
            connection.sock = plain
            path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
            connection.request(method, path, headers=_HEADERS)
            with connection.getresponse() as response:
                if response.status in _LATER:
                    raise _TryAgain(f"HTTP {response.status} {response.reason}")
                content = _read(response) if method == "GET" and response.status == 200 else b""
                if _left(deadline) <= _SHORTEST:
                    raise _too_long()
                return _Answer(response.status, response.headers, content)
    except DecodeError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise DecodeError(f"the certificate of {host} is not trusted: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        if _left(deadline) <= _SHORTEST:
            raise _too_long() from error
        raise _TryAgain(f"the server broke off: {error or type(error).__name__}") from error
    finally:
        watch.cancel()
        plain.close()


_SHORTEST = 0.001


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), _SHORTEST)


def _too_long() -> DecodeError:
    return DecodeError(f"took longer than {MAX_SECONDS:g} s")


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        connected.shutdown(socket.SHUT_RDWR)


def _host_of(parts: SplitResult) -> tuple[str, int]:
    try:
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme.lower()]
    except ValueError as error:
        raise DecodeError(f"a URL whose host or port is none: {error}") from error
    if not host:
        raise DecodeError("a URL without a host")
    return host, port


def _address_of(host: str, port: int, hosts: Sequence[str]) -> tuple[str, int]:
    """Look a host up, and refuse what may not be asked; the connection goes to the address that was checked."""
    if hosts and host not in hosts:
        raise DecodeError(f"the host {host} is not among those that allow_http names")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not hosts:
        for address in addresses:
            if not ipaddress.ip_address(address.partition("%")[0]).is_global:
                raise DecodeError(
                    f"the host {host} has the address {address}, which is not public; name it to read from it: "
                    f"allow_http=[{host!r}]"
                )
    return addresses[0], port


def _read(response: http.client.HTTPResponse) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise DecodeError(f"Content-Encoding {encoding}, which was not asked for")
    told: Any = response.length  # None where the server does not tell
    content = bytearray()
    while chunk := response.read1(_CHUNK):
        content += chunk
        if len(content) > MAX_BYTES:
            raise DecodeError(f"more than {MAX_BYTES:,} bytes")
    if told is None and not content:  # http.client takes headers that break off for whole ones
        raise _TryAgain("the server broke off before the content")
    if told is not None and len(content) != told:
        raise _TryAgain(f"the server broke off after {len(content):,} of {told:,} bytes")
    return bytes(content)
