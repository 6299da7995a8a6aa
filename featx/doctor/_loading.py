"""Load compiled packages and encode an image in other processes, which may crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

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
