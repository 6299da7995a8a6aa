"""The containers of images that are accepted -> a list of sources, with index labels and a name.

Like ``_decode.py``, this file also runs, byte for byte, where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..exceptions import InputError
from ._decode import conversion_hint

_CHANNELS = (1, 3, 4)


def is_tensor(source: object) -> bool:
    """Whether it is a torch tensor, or of a subclass."""
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(source).__mro__)


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
    "Expected a list, tuple, numpy array, pandas or polars Series, or a frame of one column, "
    "holding paths, bytes, PIL images or uint8 arrays"
)
_ONE_IMAGE = "One image? Pass it in a list: [image]."


@dataclass(frozen=True)
class ImageColumn:
    """Images as given.

    Attributes
    ----------
    sources : sequence
        One source a row; None, NaN or "" where it is missing.
    index : sequence or None
        The index labels of a pandas input.
    name : str or None
        The column's name.
    """

    sources: Sequence[Any]
    index: Sequence[Any] | None = None
    name: str | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def label(self, position: int) -> Any:
        """Index label of a row; its position where there is no index."""
        return position if self.index is None else self.index[position]


def as_column(images: Any) -> ImageColumn:
    """Read any accepted container of images.

    Parameters
    ----------
    images : list, tuple, ndarray, torch tensor, pandas or polars Series, or one-column frame
        Arrays may be of object or str, of shape (n,) or (n, 1), or uint8 of
        shape (N, H, W) or (N, H, W, 1 | 3 | 4). torch tensors are uint8 of shape
        (N, 1 | 3 | 4, H, W); (N, H, W[, 1 | 3 | 4]) where that alone is possible.

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
    if isinstance(images, str | bytes | Path | Image.Image):
        raise InputError(f"Got a single {type(images).__name__}. {_EXPECTED}. {_ONE_IMAGE}")
    if isinstance(images, np.ndarray):
        return ImageColumn(_array_sources(images))
    if is_tensor(images):
        return ImageColumn(arrays_of(images))
    library = _library(images)
    if library and len(getattr(images, "shape", ())) == 2:
        return _frame_column(images)
    if library == "pandas" and hasattr(images, "to_numpy"):
        index = images if type(images).__name__.endswith("Index") else getattr(images, "index", None)
        return ImageColumn(list(images), index, _name(images))
    if library == "polars" and hasattr(images, "to_list"):
        return ImageColumn(images.to_list(), None, _name(images))
    if isinstance(images, list | tuple):
        return ImageColumn(images)
    if hasattr(images, "__array__"):
        return ImageColumn(_array_sources(np.asarray(images)))
    raise InputError(f"Got a {type(images).__name__}. {_EXPECTED}.")


def _library(images: object) -> str | None:
    # A subclass of theirs, as of a user's own, keeps its index and its name.
    roots = (kind.__module__.partition(".")[0] for kind in type(images).__mro__)
    return next((root for root in roots if root in ("pandas", "polars")), None)


def is_missing(source: object) -> bool:
    """Whether a row is None, NaN, pandas' NA or NaT, or ""."""
    if isinstance(source, str):
        return source == ""
    if source is None:
        return True
    if isinstance(source, float | np.floating):
        return bool(np.isnan(source))
    return type(source).__name__ in ("NAType", "NaTType")


def _frame_column(frame: Any) -> ImageColumn:
    if len(frame.columns) != 1:
        raise InputError(
            f"Got a frame of {len(frame.columns)} columns ({', '.join(map(str, list(frame.columns)[:5]))}). "
            "Expected one column of images: choose it, as frame['photo'] or in a ColumnTransformer."
        )
    name = frame.columns[0]
    column = frame.iloc[:, 0] if hasattr(frame, "iloc") else frame[name]
    return as_column(column)


def _name(series: Any) -> str | None:
    name = getattr(series, "name", None)
    return None if name is None or name == "" else str(name)


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
