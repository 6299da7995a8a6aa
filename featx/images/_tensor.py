"""torch tensors as images: channels come first, as torch has them.

torch is never imported: who holds a tensor has done so. Like ``_decode.py``, this file also runs, byte for byte,
where there is nothing but numpy, Pillow and simplejpeg.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exceptions import InputError

_CHANNELS = (1, 3, 4)
_ONE_IMAGE = "One image? Pass it in a list: [image]."


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
