"""Where the row of each key lies: sorted arrays, in memory for new segments, mapped from a file for all others.

The file has the safetensors layout: ``keys`` u8 [n, 16] in order, ``checks`` u64 [n], ``segments`` and ``positions``
u32 [n]; ``firsts`` u8 [m, 16] and ``sums`` u32 [m], the first key and the CRC-32 of each block of 256 keys. The
header's metadata names the segments and holds a checksum over names, firsts and sums. A block is compared with its sum
when it is first met; what an entry says is compared with the row that it leads to.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from featx.store._layout import DamagedFileError, Layout, read_layout, write_arrays
from featx.store.base import KEY_BYTES

FORMATS = ("1",)
INDEX_NAME = re.compile(r"index-[0-9a-f]{16}-[0-9a-f]{12}\.safetensors")
# A page of 4,096 bytes.
_BLOCK = 256
_ARRAYS = {
    "keys": ("U8",), "checks": ("U64",), "segments": ("U32",), "positions": ("U32",),
    "firsts": ("U8",), "sums": ("U32",),
}  # fmt: skip


class Index:
    """Keys in order, each with its segment and its row there; a key may be there more than once.

    Parameters
    ----------
    names : sequence of str, default=()
        The segments.
    keys : ndarray of shape (n,), S16, default=None
        In order; of equal keys, the one written first comes first.
    checks : ndarray of shape (n,), uint64, default=None
        What `checks_of` says of each key and the sum of its row.
    segment_of : ndarray of shape (n,), uint32, default=None
        The number of each row's segment.
    row_of : ndarray of shape (n,), uint32, default=None
        Its row there.
    blocks : Blocks, default=None
        What the keys are compared with where they are mapped.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        keys: np.ndarray | None = None,
        checks: np.ndarray | None = None,
        segment_of: np.ndarray | None = None,
        row_of: np.ndarray | None = None,
        *,
        blocks: _Blocks | None = None,
    ):
        self.names = list(names)
        self._keys = np.empty(0, f"S{KEY_BYTES}") if keys is None else keys
        self._checks = np.empty(0, np.uint64) if checks is None else checks
        self._segment_of = np.empty(0, np.uint32) if segment_of is None else segment_of
        self._row_of = np.empty(0, np.uint32) if row_of is None else row_of
        self._blocks = blocks
        self._there = np.ones(len(self.names), bool)
        self._dropped = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, segments: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Take in the keys and sums of segments; of equal keys, the one that was there first is found first."""
        if not segments:
            return
        lengths = [len(keys) for keys, _ in segments.values()]
        numbers = np.arange(len(self.names), len(self.names) + len(segments), dtype=np.uint32)
        keys = np.concatenate([self._keys, *(as_strings(keys) for keys, _ in segments.values())])
        checks = np.concatenate([self._checks, *(checks_of(keys, sums) for keys, sums in segments.values())])
        order = np.argsort(keys, kind="stable")  # linear where the old index is long and the new part short
        self._keys, self._checks = keys[order], checks[order]
        self._segment_of = np.concatenate([self._segment_of, np.repeat(numbers, lengths)])[order]
        self._row_of = np.concatenate([self._row_of, *(np.arange(n, dtype=np.uint32) for n in lengths)])[order]
        self.names += segments
        self._there = np.append(self._there, np.ones(len(segments), bool))
        self._dropped = np.empty(0, np.int64)  # places have moved; what is damaged is met again

    @property
    def n_there(self) -> int:
        """How many of the segments are there."""
        return int(self._there.sum())

    @property
    def n_distinct(self) -> int:
        """How many distinct keys there are, in any segment."""
        return int(np.count_nonzero(self._keys[1:] != self._keys[:-1])) + bool(len(self))

    def names_there(self) -> list[str]:
        """Name the segments that are there."""
        return [name for name, there in zip(self.names, self._there, strict=True) if there]

    def keep(self, names: Iterable[str]) -> None:
        """Find nothing in segments other than these any more."""
        kept = set(names)
        self._there = np.array([name in kept for name in self.names], bool)

    def drop(self, at: np.ndarray) -> None:
        """Forget these places."""
        self._dropped = np.union1d(self._dropped, at)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Where each of n keys stands in the index, -1 where it does not.

        Parameters
        ----------
        keys : ndarray of shape (n, 16), uint8

        Returns
        -------
        ndarray of shape (n,), int

        Raises
        ------
        DamagedFileError
            If the keys in the file are not what was written.
        """
        wanted = as_strings(keys)
        order = np.argsort(wanted)  # neighbours are searched for together, and a page is met once
        at = np.empty(len(wanted), np.int64)
        search = np.searchsorted if self._blocks is None else self._blocks.search
        at[order] = search(self._keys, wanted[order])
        asked = np.arange(len(at))
        while len(asked):
            # Left are those that are there, and of these those that were dropped: is there another copy?
            asked = asked[at[asked] < len(self)]
            same = self._keys[at[asked]] == wanted[asked]
            at[asked[~same]] = len(self)
            asked = asked[same]
            asked = asked[self._is_dead(at[asked])]
            at[asked] += 1
        return np.where(at < len(self), at, -1)

    def _is_dead(self, at: np.ndarray) -> np.ndarray:
        numbers = self._segment_of[at]
        known = numbers < len(self.names)  # else the entry is damaged
        dead = ~known
        dead[known] = ~self._there[numbers[known]]
        return dead | np.isin(at, self._dropped) if len(self._dropped) else dead

    def in_order(self) -> np.ndarray:
        """Every distinct key that is there, (n, 16) uint8, segment by segment in the order of its rows.

        Raises
        ------
        DamagedFileError
            If the keys in the file are not what was written.
        """
        self._check_all()
        at = np.flatnonzero(~self._is_dead(np.arange(len(self))))
        keys = self._keys[at]
        at = at[np.append(True, keys[1:] != keys[:-1])[: len(at)]]
        keys = self._keys[at[np.lexsort((self._row_of[at], self._segment_of[at]))]]
        return keys.view(np.uint8).reshape(-1, KEY_BYTES)

    def by_segment(self, at: np.ndarray) -> Iterator[tuple[str, np.ndarray | slice, np.ndarray]]:
        """Group places in the index.

        Parameters
        ----------
        at : ndarray of shape (n,), int
            From `find`.

        Yields
        ------
        segment : str
        targets : ndarray of int, or slice
            Which of the n places these are.
        positions : ndarray of int
            Their rows in the segment, ascending.
        """
        segment_of, row_of = self._segment_of[at].astype(np.int64), self._row_of[at].astype(np.int64)
        order = np.lexsort((row_of, segment_of))
        starts = np.flatnonzero(np.diff(segment_of[order], prepend=-1))
        for targets in np.split(order, starts[1:]) if len(at) else []:
            yield self.names[segment_of[targets[0]]], as_slice(targets), row_of[targets]

    def sums_at(self, at: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Give the sum that the row of each key must have.

        Parameters
        ----------
        at : ndarray of shape (n,), int
        keys : ndarray of shape (n, 16), uint8

        Returns
        -------
        ndarray of shape (n,), uint64
        """
        return checks_of(keys, self._checks[at])

    def merged_with(self, other: Index) -> Index:
        """Join what is there in two indexes, in memory; DamagedFileError if keys are not what was written."""
        parts = [index._living() for index in (self, other)]
        names = [name for names, *_ in parts for name in names]
        keys, checks, segment_of, row_of = (
            np.concatenate(arrays) for arrays in zip(*(arrays for _, *arrays in parts), strict=True)
        )
        segment_of[len(parts[0][1]) :] += np.uint32(len(parts[0][0]))
        order = np.argsort(keys, kind="stable")
        return Index(names, keys[order], checks[order], segment_of[order], row_of[order])

    def _check_all(self) -> None:
        if self._blocks is not None:
            self._blocks.check_all(self._keys)

    def _living(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self._check_all()
        alive = ~self._is_dead(np.arange(len(self)))
        number = np.cumsum(self._there, dtype=np.uint32) - np.uint32(1)
        segment_of = number[self._segment_of[alive]] if len(number) else self._segment_of[:0]
        return self.names_there(), self._keys[alive], self._checks[alive], segment_of, self._row_of[alive]

    def write(self, file: Path, dim: int) -> None:
        """Write the index to a new file.

        Parameters
        ----------
        file : Path
            It becomes the folder's index once it is published under a name of its own.
        dim : int
            Length of the rows.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        keys = np.ascontiguousarray(self._keys)
        firsts = np.ascontiguousarray(keys[::_BLOCK]).view(np.uint8).reshape(-1, KEY_BYTES)
        sums = np.array([zlib.crc32(keys[i : i + _BLOCK]) for i in range(0, len(keys), _BLOCK)], np.uint32)
        names = json.dumps(self.names)
        write_arrays(
            file,
            {
                "keys": keys.view(np.uint8).reshape(-1, KEY_BYTES),
                "checks": self._checks,
                "segments": self._segment_of,
                "positions": self._row_of,
                "firsts": firsts,
                "sums": sums,
            },
            {"format": FORMATS[-1], "names": names, "dim": str(dim), "checksum": _checksum(names, dim, firsts, sums)},
        )

    def entries(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """List what is said of each segment: keys, checks and rows, in the order of its rows; reads everything."""
        self._check_all()
        order = np.lexsort((self._row_of, self._segment_of))
        ends = np.searchsorted(self._segment_of[order], np.arange(1, len(self.names)))
        return {
            name: (self._keys[some], self._checks[some], self._row_of[some])
            for name, some in zip(self.names, np.split(order, ends), strict=True)
        }


class _Blocks:
    """What the keys of a file are compared with, block by block, when they are first met."""

    def __init__(self, firsts: np.ndarray, sums: np.ndarray):
        self._firsts = as_strings(firsts)
        self._sums = sums
        self._met = np.zeros(len(sums), bool)

    def search(self, keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Do what np.searchsorted does with keys in order, in sound blocks only; a key takes one page of the file."""
        n, head = len(keys), keys.view(">u8")[::2]
        # The first key of a block is smaller than the key, the next one's is not.
        block = (np.searchsorted(self._firsts, wanted) - 1).clip(0)
        if not n:
            return block
        self._compare(keys, np.unique(block))
        heads = wanted.view(">u8")[::2].astype(np.uint64)
        at, stop = block * _BLOCK, np.minimum((block + 1) * _BLOCK, n)
        end = stop
        for _ in range(_BLOCK.bit_length()):
            middle = (at + end) // 2
            before = (at < end) & (head[middle.clip(max=n - 1)].astype(np.uint64) < heads)
            at, end = np.where(before, middle + 1, at), np.where(before, end, middle)
        # Of keys whose first halves are equal, the others decide.
        for i in np.flatnonzero((at < stop) & (keys[at.clip(max=n - 1)] < wanted)).tolist():
            at[i] += np.searchsorted(keys[at[i] : stop[i]], wanted[i])
        self._compare(keys, np.unique(at[(at % _BLOCK == 0) & (at < n)] // _BLOCK))
        return at

    def check_all(self, keys: np.ndarray) -> None:
        """Check every block."""
        self._compare(keys, np.arange(len(self._sums)))

    def _compare(self, keys: np.ndarray, blocks: np.ndarray) -> None:
        new = blocks[~self._met[blocks]]
        width, content = _BLOCK * KEY_BYTES, memoryview(keys.view(np.uint8))
        for block, right in zip(new.tolist(), self._sums[new].tolist(), strict=True):
            if zlib.crc32(content[block * width : (block + 1) * width]) != right:
                raise DamagedFileError("its keys are not what was written")
        self._met[new] = True


def open_index(path: Path) -> tuple[Index, int]:
    """Map an index.

    Parameters
    ----------
    path : Path
        What `Index.write` wrote. It stays mapped as long as the index lives.

    Returns
    -------
    Index
    dim : int
        Length of the rows.

    Raises
    ------
    DamagedFileError
        If it is cut short, or what is read of it is not what was written.
    NewerFormatError
        If a later version of featx wrote it.
    FileNotFoundError
        If a later one has taken its place.
    """
    with open(path, "rb") as file:
        layout = read_layout(file, _ARRAYS, FORMATS)
        firsts, sums = layout.read(file, "firsts"), layout.read(file, "sums")
        try:
            text, dim = layout.metadata["names"], int(layout.metadata["dim"])
            if _checksum(text, dim, firsts, sums) != layout.metadata["checksum"]:
                raise DamagedFileError("its names or sums are not what was written")
            names = json.loads(text)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DamagedFileError(f"its header is damaged ({error})") from error
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    n = _length(layout)
    if dim < 1 or layout.shapes["keys"] != (n, KEY_BYTES) or len(firsts) != -(-n // _BLOCK) or len(sums) != len(firsts):
        raise DamagedFileError(f"its header is damaged (arrays of {layout.shapes})")
    keys = np.frombuffer(mapped, f"S{KEY_BYTES}", n, layout.starts["keys"])
    checks, segment_of, row_of = (
        np.frombuffer(mapped, layout.dtypes[name], n, layout.starts[name])
        for name in ("checks", "segments", "positions")
    )
    return Index(names, keys, checks, segment_of, row_of, blocks=_Blocks(firsts, sums)), dim


def _length(layout: Layout) -> int:
    shapes = [layout.shapes[name] for name in ("keys", "checks", "segments", "positions")]
    lengths = {shape[0] if shape else -1 for shape in shapes}
    if len(lengths) != 1:
        raise DamagedFileError(f"its header is damaged (arrays of {layout.shapes})")
    return lengths.pop()


def as_strings(keys: np.ndarray) -> np.ndarray:
    """Keys (n, 16) u8 as n strings of 16 bytes, which numpy can sort and search.

    All are 16 wide, so that numpy's neglect of trailing zero bytes makes no two of them equal.
    """
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").ravel()


def checks_of(keys: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Bind the sum of a row to its key, so that neither can stand beside another; twice gives the sum back."""
    words = np.ascontiguousarray(keys).view(np.uint64)
    return sums ^ words[:, 0] ^ (words[:, 1] * np.uint64(3))


def as_slice(targets: np.ndarray) -> np.ndarray | slice:
    """Places that follow each other, as a slice."""
    return slice(targets[0], targets[-1] + 1) if (np.diff(targets) == 1).all() else targets


def _checksum(names: str, dim: int, firsts: np.ndarray, sums: np.ndarray) -> str:
    digest = hashlib.sha256(f"{dim} {names}".encode())
    digest.update(np.ascontiguousarray(firsts))
    digest.update(np.ascontiguousarray(sums))
    return digest.hexdigest()
