from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featx.deploy.service._memory import SMALL, Lease, Room, decode_cost, resident, share
from featx.exceptions import ParameterError
from featx.images._decode import open_header
from tests.deploy.service.serving import as_file
from tests.images.test_transparency import gif
from tests.images.tiffs import Page, write_tiff

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")
TURNED = Image.Exif()
TURNED[0x112] = 6
DECODE = """
import sys
from pathlib import Path
from featx.deploy.service._memory import decode_cost, resident
from featx.images._decode import decode, open_header
data = sys.stdin.buffer.read()
size = open_header(data).size
cost, before = decode_cost(open_header(data), data), resident()
Path("/proc/self/clear_refs").write_text("5")
decode(data)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(cost, int(peak.split()[1]) * 1024 - before)
"""


def picture(mode="RGB", size=(3200, 2000)):
    return Image.linear_gradient("L").resize(size).convert(mode)


def deep(bands=3):
    return np.repeat(np.asarray(picture("L")).astype(np.uint16)[:, :, None] * 257, bands, axis=2)


FILES = {
    "JPEG": lambda: as_file(picture()),
    "grey JPEG": lambda: as_file(picture("L")),
    "CMYK JPEG": lambda: as_file(picture("CMYK")),
    "turned JPEG": lambda: as_file(picture(), exif=TURNED),
    "turned grey JPEG": lambda: as_file(picture("L"), exif=TURNED),
    "turned CMYK JPEG": lambda: as_file(picture("CMYK"), exif=TURNED),
    "progressive JPEG": lambda: as_file(picture(), progressive=True, subsampling=0, exif=TURNED),
    "PNG": lambda: as_file(picture(), "PNG", compress_level=1),
    "turned PNG": lambda: as_file(picture(), "PNG", compress_level=1, exif=TURNED),
    "PNG with alpha": lambda: as_file(picture("LA"), "PNG", compress_level=1, exif=TURNED),
    "palette": lambda: as_file(picture("P"), "PNG", transparency=0, compress_level=1),
    "GIF": lambda: as_file(picture("P"), "GIF"),
    "WEBP": lambda: as_file(picture(), "WEBP", method=0),
    "TIFF": lambda: as_file(picture(), "TIFF"),
    "16-bit grey TIFF": lambda: write_tiff(Page(deep()[:, :, 0], 16, rows=100)),
    "16-bit TIFF": lambda: write_tiff(Page(deep(), 16, 2, rows=100)),
    "16-bit TIFF with alpha": lambda: write_tiff(Page(deep(4), 16, 2, rows=100, tags={338: [2]})),
    "12-bit TIFF in planes": lambda: write_tiff(Page(deep() >> 4, 12, 2, planar=True, rows=100)),
    "16-bit PPM": lambda: b"P6 3200 2000 65535\n" + deep().astype(">u2").tobytes(),
    "GIF on a larger screen": lambda: gif(picture("P", (3200, 1900)), (3200, 2000), (0, 50)),
    "JPEG2000": lambda: as_file(picture(size=(2000, 1500)), "JPEG2000"),
    "AVIF": lambda: as_file(picture(), "AVIF", speed=10),
}


@linux
@pytest.mark.parametrize("kind", FILES)
def test_an_image_costs_no_more_than_was_told(kind, root):
    done = subprocess.run(
        [sys.executable, "-c", DECODE], input=FILES[kind](), capture_output=True, cwd=root, check=True
    )
    told, took = map(int, done.stdout.split())
    assert took < told + 3_000_000  # what Pillow's plugins take themselves
    assert told < 2.5 * took


def test_a_plain_photo_of_50_megapixels_costs_225_megabytes():
    photo = as_file(Image.new("RGB", (1000, 1000)))
    assert 50 * decode_cost(open_header(photo), photo) == 225_000_000


@given(
    st.integers(100, 10_000).map(lambda megabytes: megabytes * 10**6),
    st.integers(10, 5000).map(lambda megabytes: megabytes * 10**6),
    st.integers(1, 64),
)
def test_shares_are_never_more_than_there_is(memory, used, threads):
    try:
        shares = share(memory, used, threads)
    except ParameterError:
        assert 0.95 * memory - used < 8 * SMALL + 1
        return
    assert 1 <= shares.workers <= threads
    assert min(shares.bodies, shares.decoding) > 0
    assert used + shares.bodies + shares.decoding + shares.workers * SMALL <= memory


def test_too_little_memory_says_how_much_is_enough():
    with pytest.raises(ParameterError, match="at least 279 MB"):
        share(200_000_000, 200_000_000, 2)
    share(279_000_000, 200_000_000, 2)


@given(st.lists(st.integers(1, 100), max_size=30))
def test_a_room_never_gives_more_than_it_has_and_gets_all_back(sizes):
    room, inside, most = Room(100), [0], [0]

    async def stay(n):
        async with room.taken(n):
            inside[0] += n
            most[0] = max(most[0], inside[0])
            await asyncio.sleep(0)
            inside[0] -= n

    async def all_stay():
        await asyncio.gather(*map(stay, sizes))

    asyncio.run(all_stay())
    assert most[0] <= 100
    assert room.free == 100


def test_who_waits_is_served_in_turn_and_overtaken_by_nobody():
    order = []

    async def stay(room, name, n):
        async with room.taken(n):
            order.append(name)
            await asyncio.sleep(0.01)

    async def all_stay():
        room = Room(100)
        await asyncio.gather(stay(room, "first", 60), stay(room, "large", 100), stay(room, "small", 10))

    asyncio.run(all_stay())
    assert order == ["first", "large", "small"]


def test_who_gives_up_waiting_takes_nothing():
    async def give_up():
        room = Room(100)
        async with room.taken(100):
            waiting = asyncio.create_task(room.taken(50).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
        assert room.free == 100
        assert room.take_now(100)

    asyncio.run(give_up())


def test_a_lease_gives_back_what_it_was_granted():
    room = Room(100)
    with Lease(room) as lease:
        assert lease.grow(70)
        assert not lease.grow(40)
        assert lease.grow(30)
    assert room.free == 100


@linux
def test_what_a_process_takes_is_known():
    assert 10_000_000 < resident() < 100_000_000_000


@linux
def test_a_guarded_process_gets_no_more_than_its_memory():
    guarded = "from featx.deploy.service._memory import guard\nguard(200_000_000)\n"
    code = guarded + "bytearray(50_000_000)\nbytearray(300_000_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().endswith("MemoryError")
    assert "line 4" in done.stderr
