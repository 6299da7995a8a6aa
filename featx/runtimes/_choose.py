"""From a user's ``runtime=`` and ``device=`` to what runs the network; imports nothing native unless it must."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from featx._validate import check_choice
from featx.exceptions import DeviceError, MissingDependencyError, ParameterError, UnknownNameError

RUNTIMES = ("openvino", "torch")
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")


@dataclass(frozen=True)
class Choice:
    """What runs a network.

    Attributes
    ----------
    runtime : {"openvino", "torch"}
        Name of the runtime.
    devices : tuple of str
        ``("cpu",)``, or CUDA devices with their numbers.
    """

    runtime: str
    devices: tuple[str, ...]

    @property
    def family(self) -> str:
        """Runtime and kind of device, on which the numbers of a reduced precision depend."""
        return f"{self.runtime}:{self.devices[0].partition(':')[0]}"


def check_runtime(runtime: object, device: object) -> None:
    """Refuse what no machine has; what this machine lacks is found out only when a row is missing.

    Parameters
    ----------
    runtime, device
        As in `ImageEncoder`.

    Raises
    ------
    ParameterError
        If a value is not accepted, or if they do not fit together.
    """
    check_choice("runtime", runtime, ("auto", *RUNTIMES))
    names = _names(device)
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise UnknownNameError("device", name, ("auto", "cpu", "cuda", "cuda:0"))
    if len(names) > 1 and (len({*names}) < len(names) or not all(name.startswith("cuda:") for name in names)):
        raise ParameterError(f"Got device={device!r}. Expected distinct CUDA devices, such as ['cuda:0', 'cuda:1'].")
    if runtime == "openvino" and names[0].startswith("cuda"):
        raise ParameterError(f"Got runtime='openvino' with device={device!r}. Expected device='cpu': it runs there.")


def choose(runtime: str, device: str | Sequence[str]) -> Choice:
    """Decide what "auto" is: torch on CUDA, OpenVINO on the CPU, torch where OpenVINO cannot run.

    Parameters
    ----------
    runtime : {"auto", "openvino", "torch"}
        As in `ImageEncoder`.
    device : str or sequence of str
        As in `ImageEncoder`.

    Returns
    -------
    Choice
        The runtime and its devices; `check_devices` checks whether this machine has them.

    Raises
    ------
    MissingDependencyError
        If `runtime` is not installed.
    """
    check_runtime(runtime, device)
    names = _names(device)
    if names == ("auto",):
        names = ("cuda:0",) if runtime != "openvino" and has_cuda() else ("cpu",)
    names = tuple("cuda:0" if name == "cuda" else name for name in names)
    if runtime == "openvino" and not _installed("openvino"):
        raise MissingDependencyError(
            "runtime='openvino' needs the package 'openvino', which is not installed. "
            "Install it with: pip install 'featx[openvino]', or use runtime='torch'"
        )
    if runtime == "auto":
        runtime = "openvino" if names == ("cpu",) and _runs_openvino() else "torch"
    return Choice(runtime, names)


def check_devices(devices: Sequence[str]) -> None:
    """Refuse CUDA devices that this machine lacks.

    Parameters
    ----------
    devices : sequence of str
        ``("cpu",)``, or CUDA devices with their numbers.

    Raises
    ------
    DeviceError
        If one of them does not exist.
    """
    if devices[0] == "cpu":
        return
    import torch

    n = torch.cuda.device_count()
    for device in devices:
        if int(device.removeprefix("cuda:")) >= n:
            raise DeviceError(
                f"Got device={device!r}; this machine has {n} CUDA devices and some rows have no embedding yet. "
                "Use device='auto'."
            )


@lru_cache(maxsize=1)
def has_cuda() -> bool:
    """Return whether there is a CUDA device that torch can use; without a driver, torch is not imported."""
    if "torch" not in sys.modules:
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    import torch

    return torch.cuda.is_available()


def _names(device: object) -> tuple[str, ...]:
    names = (device,) if isinstance(device, str) else tuple(device) if isinstance(device, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"Got device={device!r}. Expected a str ('auto', 'cpu', 'cuda' or 'cuda:0'), or a list of CUDA devices."
        )
    return names


@lru_cache(maxsize=1)
def _runs_openvino() -> bool:
    """Return whether OpenVINO is installed, on a processor on which it is fast and tested."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:  # numpy 1
        features = importlib.import_module("numpy.core._multiarray_umath").__cpu_features__
    # An x86 processor lists AVX2, present or not; on ARM it is listed as absent beside NEON.
    return _installed("openvino") and bool(features.get("AVX2", True) or features.get("NEON", False))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
