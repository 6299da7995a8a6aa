"""The containers of images that are accepted -> one cell a row, with index labels and a name.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..exceptions import InputError
from ._cell import StoredImage, is_tensor
from ._columns import cells_of, library_of, name_of_column
from ._decode import conversion_hint

_CHANNELS = (1, 3, 4)


def arrays_of(images: Any) -> list[np.ndarray]:
    """Read a tensor (N, C, H, W) as one array (H, W[, C]) an image, or raise `InputError`.

    (N, H, W, C) and (N, H, W) are taken where only that reading is possible.
    """
    array = _to_numpy(images)
    shape = _told(images)
    if array.ndim == 3 and array.shape[0] not in _CHANNELS and array.shape[2] not in _CHANNELS:
        return list(array)
    if array.ndim == 3:
        raise InputError(f"Got {shape}, which looks like a single image. {_ONE_IMAGE} Grey images? Pass X[:, None].")
    if array.ndim != 4:
        raise InputError(f"Got {shape}. Expected (n, channels, height, width), with 1, 3 or 4 channels. {_ONE_IMAGE}")
    first, last = array.shape[1] in _CHANNELS, array.shape[3] in _CHANNELS
    if first and last:
        raise InputError(
            f"Got {shape}: its channels may come first or last. "
            "First? Pass X.permute(0, 2, 3, 1).numpy(). Last? Pass X.numpy()."
        )
    if not first and not last:
        raise InputError(f"Got {shape}. Expected (n, channels, height, width), with 1, 3 or 4 channels.")
    return list(np.moveaxis(array, 1, 3) if first else array)


def array_of(image: Any) -> np.ndarray:
    """Read one tensor (C, H, W) as an array (H, W, C), or raise `InputError`; (H, W[, C]) as in `arrays_of`."""
    array = _to_numpy(image)
    if array.ndim == 2:
        return array
    if array.ndim != 3:
        raise InputError(f"{_told(image)}; expected (channels, height, width), with 1, 3 or 4 channels")
    first, last = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
    if first and last:
        raise InputError(
            f"{_told(image)}: its channels may come first or last; "
            "pass image.permute(1, 2, 0).numpy() if first, image.numpy() if last"
        )
    if not first and not last:
        raise InputError(f"{_told(image)}; expected (channels, height, width), with 1, 3 or 4 channels")
    return np.moveaxis(array, 0, 2) if first else array


def _told(tensor: Any) -> str:
    return f"a tensor of shape {tuple(tensor.shape)} and dtype {tensor.dtype}"


def _to_numpy(tensor: Any) -> np.ndarray:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype == "uint8":
        return tensor.detach().cpu().numpy()
    if dtype == "bool":
        hint = "X.to(torch.uint8) * 255"
    elif dtype.startswith(("float", "bfloat")):
        hint = "(X * 255).round().to(torch.uint8) if its values lie in 0..1; undo a normalization first"
    elif dtype == "uint16":
        hint = "(X.to(torch.int32) >> 8).to(torch.uint8)"
    else:
        hint = "X.to(torch.uint8) if its values lie in 0..255"
    raise InputError(f"Got {_told(tensor)}. Expected uint8 pixels: convert it with {hint}.")


_EXPECTED = (
    "Expected a list, tuple, numpy or pyarrow array, pandas or polars Series, or a frame of one column, "
    "holding paths, bytes, PIL images or uint8 arrays"
)
_ONE_IMAGE = "One image? Pass it in a list: [image]."


@dataclass(frozen=True)
class ImageColumn:
    """Images as given.

    Attributes
    ----------
    sources : sequence
        One cell a row; `is_missing` says which are missing. It may be a `Cells`.
    index : sequence or None
        The index labels of a pandas input.
    name : str or None
        The column's name.
    places : sequence of (row, image or None), or None
        Where rows hold several images: the row of each cell, and which of its images it is; None where it has none.
    """

    sources: Sequence[Any]
    index: Sequence[Any] | None = None
    name: str | None = None
    places: Sequence[tuple[int, int | None]] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def place(self, position: int) -> Any:
        """Name where a cell is: its position, or its row and which image of it it is."""
        if self.places is None:
            return position
        row, image = self.places[position]
        return row if image is None else (row, image)

    def label(self, position: int) -> Any:
        """Index label of a cell's row; the row's position where there is no index."""
        row = position if self.places is None else self.places[position][0]
        return row if self.index is None else self.index[row]


def as_column(images: Any) -> ImageColumn:
    """Read any accepted container of images.

    Parameters
    ----------
    images : list, tuple, ndarray, tensor, Series, frame of one column, or another column
        Series of pandas, polars or daft, arrays of pyarrow, columns of a dataset of Hugging Face; an ImageColumn is
        returned as it is. Arrays may be of object or str, of shape (n,) or (n, 1), or uint8 of shape (N, H, W) or
        (N, H, W, 1 | 3 | 4). torch tensors are uint8 of shape (N, 1 | 3 | 4, H, W); (N, H, W[, 1 | 3 | 4]) where that
        alone is possible.

    Returns
    -------
    ImageColumn

    Raises
    ------
    InputError
        If the container is none of these, with what to do instead.

    Examples
    --------
    >>> from featx.images import as_column
    >>> len(as_column(["a.jpg", "b.jpg"]))
    2
    """
    if isinstance(images, ImageColumn):
        return images
    if isinstance(images, str | bytes | bytearray | memoryview | Path | Image.Image | StoredImage):
        raise InputError(f"Got a single {type(images).__name__}. {_EXPECTED}. {_ONE_IMAGE}")
    if isinstance(images, np.ndarray):
        return ImageColumn(_array_sources(images))
    if is_tensor(images):
        return ImageColumn(arrays_of(images))
    library = library_of(images)
    if library and len(getattr(images, "shape", ())) == 2:
        return _frame_column(images)
    if library:
        index = images if type(images).__name__.endswith("Index") else getattr(images, "index", None)
        cells = cells_of(images, library)
        if cells is not None:
            return ImageColumn(cells, index if library == "pandas" else None, name_of_column(images, library))
    if isinstance(images, list | tuple):
        return ImageColumn(images)
    if isinstance(images, Mapping) and {"bytes", "path", "box"} & set(images):
        raise InputError(f"Got a single dict with the keys {', '.join(map(repr, images))}. {_ONE_IMAGE}")
    if hasattr(images, "__array__"):
        return ImageColumn(_array_sources(np.asarray(images)))
    raise InputError(f"Got a {type(images).__name__}. {_EXPECTED}.")


def _frame_column(frame: Any) -> ImageColumn:
    names = column_names(frame)
    if len(names) != 1:
        raise InputError(
            f"Got a frame of {len(names)} columns ({', '.join(map(str, names[:5]))}). "
            "Expected one column of images: choose it, as frame['photo'] or in a ColumnTransformer."
        )
    name = names[0]
    column = frame.iloc[:, 0] if hasattr(frame, "iloc") else frame[name]
    return replace(as_column(column), name=None if name == "" else str(name))


def column_names(frame: Any) -> list[str]:
    """List the columns of a frame, a table of pyarrow or a dataset."""
    # pyarrow's columns are the data, and a dataset has none.
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)


def _array_sources(array: np.ndarray) -> Sequence[Any]:
    shape = f"an array of shape {array.shape} and dtype {array.dtype}"
    if array.dtype.kind in "OUT":
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise InputError(f"Got {shape}. Expected shape (n,) or (n, 1) for arrays of paths or objects.")
        return array.tolist()
    if array.ndim == 1 and array.size == 0:
        return []
    if array.dtype.kind == "S":  # numpy has cut each row's zero bytes at its end
        raise InputError(f"Got {shape}. Expected a list of bytes: numpy's own dtype for them loses trailing zeros.")
    if array.dtype != np.uint8:
        raise InputError(f"Got {shape}. Expected uint8 pixels: {conversion_hint(array.dtype)}.")
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        raise InputError(f"Got {shape}, which looks like a single image. {_ONE_IMAGE}")
    if array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3, 4)):
        return list(array)
    raise InputError(f"Got {shape}. Expected (n, height, width[, 1 | 3 | 4]), channels last. {_ONE_IMAGE}")
