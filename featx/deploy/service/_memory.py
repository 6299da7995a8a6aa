"""What an image costs to decode, and a service's memory: how it is shared out, and kept.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...exceptions import ParameterError

MEGABYTE = 1_000_000
# Images that cost less are decoded as soon as a thread is free.
SMALL = 8 * MEGABYTE

# Peak bytes a pixel, measured: Pillow keeps RGB in 4 bytes, and several copies while it lays alpha on white.
_PLAIN = {"RGB": 4.5, "L": 5.0, "P": 5.0, "1": 5.0}
_OTHER_MODE = 8.0
_ROTATED = 4.0
_PROGRESSIVE = 10.0
_BUFFERED = {"HEIF": 17.0, "WEBP": 17.0, "AVIF": 17.0, "JPEG2000": 20.0, "PPM": 10.5}
_TRANSPARENT = 20.0
_ORIENTATION = 0x0112

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def decode_cost(image: Image.Image, data: bytes) -> int:
    """Bytes that decoding takes at its peak, told by the header.

    Parameters
    ----------
    image : PIL.Image.Image
        Whose header has been read.
    data : bytes
        The file.

    Returns
    -------
    int

    Examples
    --------
    >>> from PIL import Image
    >>> from featx.deploy.service._memory import decode_cost
    >>> decode_cost(Image.new("RGB", (1000, 1000)), b"")
    4500000
    """
    a_pixel = _PLAIN.get(image.mode, _OTHER_MODE) + _ROTATED * _is_rotated(image, data)
    a_pixel = max(a_pixel, _BUFFERED.get(image.format or "", 0.0), getattr(image, "bytes_a_pixel", 0.0))
    if image.info.get("progressive"):
        a_pixel = max(a_pixel, _PROGRESSIVE)
    # A GIF's first frame may leave a part of its screen.
    if image.has_transparency_data or getattr(image, "dispose_extent", None) not in (None, (0, 0, *image.size)):
        a_pixel = max(a_pixel, _TRANSPARENT)
    return round(a_pixel * image.width * image.height)


def _is_rotated(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":  # its getexif() would decode it, to look behind the pixels
        return b"eXIf" in data or b"XML:com.adobe.xmp" in data
    try:
        return image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # broken metadata costs nothing
        return False


class Room:
    """Bytes that are taken and given back; who finds too few waits in line.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int):
        self.size = self.free = size
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, n: int) -> bool:
        """Take bytes if there are as many."""
        if self._line or n > self.free:
            return False
        self.free -= n
        return True

    def give(self, n: int) -> None:
        """Give bytes back."""
        self.free += n
        while self._line and self._line[0][0] <= self.free:
            n, turn = self._line.popleft()
            if not turn.cancelled():
                self.free -= n
                turn.set_result(None)

    @asynccontextmanager
    async def taken(self, n: int) -> AsyncIterator[None]:
        """Wait for bytes, and have them inside the block."""
        if not self.take_now(n):
            turn = asyncio.get_running_loop().create_future()
            self._line.append((n, turn))
            await turn
        try:
            yield
        finally:
            self.give(n)


class Lease:
    """Bytes of a room that grow, and are given back together.

    Parameters
    ----------
    room : Room
    """

    def __init__(self, room: Room):
        self._room = room
        self._taken = 0

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self._room.give(self._taken)

    def grow(self, n: int) -> bool:
        """Take more, if there are as many."""
        granted = self._room.take_now(n)
        self._taken += n * granted
        return granted


@dataclass(frozen=True)
class Shares:
    """How the memory that a loaded service has left is shared out.

    Attributes
    ----------
    workers : int
        Threads; each may decode a small image at any time.
    bodies : int
        Bytes for requests as they came.
    decoding : int
        Bytes for large images.
    """

    workers: int
    bodies: int
    decoding: int


def share(memory: int, used: int, threads: int) -> Shares:
    """Share out what is left of the memory.

    Parameters
    ----------
    memory : int
        Bytes that the process may have.
    used : int
        Bytes that it has once it is loaded.
    threads : int
        Workers that are wanted.

    Returns
    -------
    Shares

    Raises
    ------
    ParameterError
        If too little is left.

    Examples
    --------
    >>> from featx.deploy.service._memory import share
    >>> share(512_000_000, 170_000_000, 2)
    Shares(workers=2, bodies=63280000, decoding=237120000)
    """
    left = round(0.95 * memory) - used
    least = 8 * SMALL
    if left < least:
        needed = round((used + least) / 0.95 / MEGABYTE) + 1
        raise ParameterError(f"Got {memory / MEGABYTE:.0f} MB of memory. This bundle needs at least {needed} MB.")
    workers = min(threads, max(1, left // 4 // SMALL))
    bodies = left // 5
    return Shares(workers, bodies, left - bodies - workers * SMALL)


def resident() -> int | None:
    """Bytes of memory that this process has; None where the platform does not say."""
    return _status("VmRSS")


def tame_malloc() -> None:
    """Have glibc give large blocks back at once; to be called before there are threads."""
    if platform.libc_ver()[0] == "glibc":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            # Left alone, it raises this threshold with each block that is freed, and keeps what is below.
            libc.mallopt(_M_MMAP_THRESHOLD, 256 * 1024)
            libc.mallopt(_M_ARENA_MAX, 2)


def guard(memory: int) -> None:
    """Have allocations beyond the memory fail, where the platform can: then one image fails, not the service."""
    data, used = _status("VmData"), resident()
    if data is None or used is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (data + memory - used, hard))


def _status(entry: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:")), None)
