"""Fuzz the reading of images: ``python -m tests.fuzz --mutants 200000 --seed 0`` prints a table of outcomes.

Small files of every format are made by code, then mutated (bits, cuts, splices, repeated and deleted parts, numbers
in headers). Each mutant is read in a child process with a limit on memory and one on time: what kills, hangs or fills
it is counted, the child is started again behind it, and the mutant is named by its number, from which
``--only N`` makes it again. The pillow-heif package is fuzzed where it is installed.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from PIL import Image

from featx.images import MAX_PIXELS, DecodeError, to_pixels

SECONDS = 5
GIGABYTE = 1 << 30
KINDS = ("accepted", "refused", "wrong", "exception", "memory", "hang", "crash")
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> dict[str, list[bytes]]:
    """Files of every format, in several modes and compressions each."""
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(29) * 5, np.arange(37) * 3)[:, :, None] + np.array([0, 40, 90])
    rgb = Image.fromarray(((smooth + rng.integers(0, 30, smooth.shape)) % 256).astype(np.uint8))
    grey, rgba, palette = rgb.convert("L"), rgb.copy(), rgb.quantize(16)
    rgba.putalpha(grey)
    deep = Image.fromarray((np.asarray(grey).astype(np.uint16) << 8) + 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [rgb.rotate(90)]}
    wanted: dict[str, list[tuple[Image.Image, dict]]] = {
        "JPEG": [
            *((rgb, {"subsampling": i, "progressive": p}) for i in (0, 2) for p in (False, True)),
            *((image, {"restart_marker_blocks": 2}) for image in (rgb, grey, rgb.convert("CMYK"))),
            (rgb, {"exif": exif}),
        ],
        "MPO": [(rgb, frames)],
        "PNG": [
            *((image, {}) for image in (rgb, grey, rgba, palette, deep, rgb.convert("1"), rgba.convert("LA"))),
            (palette, {"transparency": 3}),
            (rgb, {"exif": exif}),
            (rgb, frames),
        ],
        "WEBP": [(rgb, {}), (rgba, {}), (rgba, {"lossless": True}), (rgb, frames), (rgb, {"exif": exif})],
        "GIF": [(palette, {}), (palette, {"transparency": 3}), (palette, frames), (grey, {"interlace": 1})],
        "BMP": [(image, {}) for image in (rgb, grey, rgba, palette, rgb.convert("1"))],
        "TIFF": [
            *((image, {}) for image in (rgb, grey, rgba, palette, deep, rgb.convert("1"), rgb.convert("CMYK"))),
            *((rgb, {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
            *((rgb.convert("1"), {"compression": name}) for name in ("group3", "group4", "tiff_ccitt")),
            (rgb, {"big_tiff": True}),
            (rgb, {"exif": exif}),
            (rgb, frames),
        ],
        "PPM": [(image, {}) for image in (rgb, grey, rgb.convert("1"), deep)],
        "JPEG2000": [(rgb, {}), (rgb, {"no_jp2": True}), (rgba, {}), (rgb, {"irreversible": True}), (grey, {})],
        "AVIF": [(rgb, {"speed": 10}), (rgba, {"speed": 10}), (rgb, {"speed": 10, **frames})],
    }
    made = {name: [_encode(image, name, options) for image, options in each] for name, each in wanted.items()}
    made["PPM"] += [b"P3 3 2 255 " + b"1 2 3 " * 6, b"P2 3 2 9 1 2 3 4 5 6", b"P1 3 2 101010"]
    made["PNG"].append(_png_of_16_bits())
    try:
        import pillow_heif
    except ImportError:
        return made
    made["HEIF"] = []
    for image in (rgb, rgba, grey):
        file = io.BytesIO()
        pillow_heif.from_pillow(image.resize((64, 64))).save(file, quality=50)
        made["HEIF"].append(file.getvalue())
    return made


def _encode(image: Image.Image, name: str, options: dict) -> bytes:
    file = io.BytesIO()
    # A save leaves its settings on the images, and the next one takes them: copies.
    more = {"append_images": [other.copy() for other in options.get("append_images", [])]}
    image.copy().save(file, name, **options | (more if "save_all" in options else {}))
    return file.getvalue()


def _png_of_16_bits() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(i, i + 24)) for i in range(5))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 5, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def mutant(number: int, seed: int, files: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """Make the mutant of a number: its format, and its bytes."""
    rng = random.Random(f"{seed}:{number}")
    name = sorted(files)[number % len(files)]
    data = bytearray(rng.choice(files[name]))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if data:
            rng.choice(_MUTATIONS)(rng, data, files[name])
    if name == "PNG" and rng.random() < 0.7:  # or nearly all die of a checksum
        _mend_checksums(data)
    return name, bytes(data)


def _flip(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _cut_and_close(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    ending = bytes(data[-rng.choice((2, 12)) :])
    del data[rng.randrange(len(data)) :]
    data += ending


def _splice(rng: random.Random, data: bytearray, others: list[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    place = rng.randrange(len(data))
    data[place : place + rng.choice((0, 4, 64))] = other[start : start + rng.randrange(1, 200)]


def _repeat(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = rng.randrange(len(data))
    part = bytes(data[start : start + rng.randrange(1, 64)])
    data[start:start] = part * rng.choice((1, 2, 50))


def _delete(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 64)]


def _set_number(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    """In the header, where dimensions, counts, lengths and offsets are."""
    size = rng.choice((1, 2, 4))
    place = rng.randrange(min(len(data), rng.choice((32, 128, 1024))))
    value = rng.choice((*INTERESTING, rng.randrange(1 << 32))) % (1 << (8 * size))
    data[place : place + size] = value.to_bytes(size, rng.choice(("big", "little")))


def _add_to_number(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = rng.randrange(min(len(data), 512))
    data[place] = (data[place] + rng.choice((-16, -2, -1, 1, 2, 16))) % 256


_MUTATIONS: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    _flip,
    _cut,
    _cut_and_close,
    _splice,
    _repeat,
    _delete,
    _set_number,
    _set_number,
    _add_to_number,
)


def _mend_checksums(data: bytearray) -> None:
    place = 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


def read(data: bytes, fast: bool) -> tuple[str, str]:
    """Outcome of one mutant, and what to say of it."""
    try:
        image = to_pixels(data, MAX_PIXELS, 8 if fast else None)
        pixels = np.asarray(image)
    except DecodeError as error:
        # libheif calls the limits that it keeps to errors of memory too.
        full = isinstance(error.__cause__, MemoryError) or ("memory" in str(error) and "limit" not in str(error))
        return ("memory", str(error)) if full else ("refused", "")
    except Exception as error:
        return "exception", f"{type(error).__name__}: {error}"
    right = image.mode == "RGB" and pixels.shape == (*image.size[::-1], 3) and pixels.dtype == np.uint8
    return ("accepted", "") if right and 0 < pixels.size <= 3 * MAX_PIXELS else ("wrong", f"{image.mode} {image.size}")


class _TooLongError(BaseException):
    pass


def work(first: int, last: int, seed: int) -> None:
    """Read mutants, a line of output each, in a process that has little memory and little time."""
    faulthandler.disable()
    warnings.simplefilter("ignore")
    files = seeds()
    for each in files.values():  # what is imported late is no mutant's memory
        for data in each:
            read(data, fast=False)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + GIGABYTE, taken + GIGABYTE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def stop(*_: object) -> None:
        raise _TooLongError

    signal.signal(signal.SIGPROF, stop)
    for number in range(first, last):
        name, data = mutant(number, seed, files)
        print(json.dumps({"number": number, "format": name}), flush=True)
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: a busy machine is no hang
        try:
            outcome, told = read(data, number % 5 == 0)
        except _TooLongError:
            outcome, told = "hang", ""
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - start
        print(json.dumps({"outcome": outcome, "told": told, "seconds": round(seconds, 3)}), flush=True)


def fuzz(mutants: int, seed: int, first: int = 0) -> tuple[dict[str, Counter], list[str]]:
    """Read so many mutants.

    Parameters
    ----------
    mutants : int
    seed : int
    first : int, default=0
        Number of the first mutant.

    Returns
    -------
    table : dict of str to Counter
        Outcomes by format.
    findings : list of str
        What is neither accepted nor refused, a line each.
    """
    table: dict[str, Counter] = defaultdict(Counter)
    findings, last, slowest = [], first + mutants, 0.0
    while first < last:
        command = [sys.executable, "-m", "tests.fuzz", "--work", str(first), str(last), "--seed", str(seed)]
        current = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            timer = _Watchdog(child)
            for line in child.stdout:
                timer.kick()
                said = json.loads(line)
                if "number" in said:
                    current = said
                    continue
                table[current["format"]][said["outcome"]] += 1
                slowest = max(slowest, said["seconds"])
                if said["outcome"] not in ("accepted", "refused"):
                    findings.append(f"{current['number']} {current['format']} {said['outcome']} {said['told']}")
                first, current = current["number"] + 1, None
        killed = "hang" if timer.stop() else "crash"
        if current is not None:
            table[current["format"]][killed] += 1
            findings.append(f"{current['number']} {current['format']} {killed} (exit {child.returncode})")
            first = current["number"] + 1
        elif child.returncode:
            raise RuntimeError(f"the child ended with {child.returncode} before a mutant")
    findings.append(f"slowest: {slowest:.1f} s")
    return table, findings


class _Watchdog:
    """Kills a child that says nothing for a minute: C code does not stop for a signal."""

    def __init__(self, child: subprocess.Popen):
        self._child, self._done, self._fired = child, threading.Event(), False
        self._seen = time.monotonic() + 60  # its start takes longer
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def kick(self) -> None:
        self._seen = time.monotonic()

    def stop(self) -> bool:
        self._done.set()
        self._thread.join()
        return self._fired

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            if time.monotonic() - self._seen > 60:
                self._fired = True
                self._child.kill()
                return


def show(table: dict[str, Counter]) -> str:
    """The table in Markdown, with a line for all formats."""
    total = sum(table.values(), Counter())
    rows = [("format", *KINDS), ("---", *("---:" for _ in KINDS))]
    rows += [(name, *(f"{counts[kind]:,}" for kind in KINDS)) for name, counts in sorted(table.items())]
    rows.append(("all", *(f"{total[kind]:,}" for kind in KINDS)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this one mutant, in this process")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.work:
        work(*parsed.work, parsed.seed)
    elif parsed.only is not None:
        name, data = mutant(parsed.only, parsed.seed, seeds())
        print(name, len(data), *read(data, parsed.only % 5 == 0))
    else:
        table, findings = fuzz(parsed.mutants, parsed.seed)
        print(show(table), *findings, sep="\n")


if __name__ == "__main__":
    main()
