"""Whether the compiled packages load, each in a process of its own."""

from __future__ import annotations

import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor

from featx.doctor._child import run
from featx.doctor._finding import Finding

# Module -> what it should do beyond being imported; it prints what is worth knowing.
_PROBES = {
    "numpy": "numpy.ones((2, 2)) @ numpy.ones((2, 2)); print(numpy.__version__)",
    "PIL": "import PIL.Image; PIL.Image.new('RGB', (8, 8)).resize((4, 4)); print(PIL.__version__)",
    "pandas": "print(pandas.__version__)",
    "sklearn": "import sklearn.linear_model; print(sklearn.__version__)",
    "torch": "torch.ones(2, 2) @ torch.ones(2, 2); print(torch.__version__ + ', ' + ("
    "'uses the GPU' if torch.cuda.is_available() else 'CPU only'))",
    "torchvision": "print(torchvision.__version__)",
    "openvino": "print(openvino.__version__.split('-')[0] + ', ' + ', '.join(openvino.Core().available_devices))",
    "onnxruntime": "print(onnxruntime.__version__ + ', ' + ', '.join(onnxruntime.get_available_providers()))",
}
_AT_ONCE = 2
# featx works without, and then says so.
_OPTIONAL = ("openvino", "onnxruntime")
_ADVICE = (
    (r"SIGILL", "it was built for a newer processor: install an older version, or build it on this machine"),
    (
        r"GLIBCXX|libstdc\+\+|CXXABI",
        "a newer libstdc++ is needed: apt install libstdc++6, conda install libstdcxx-ng",
    ),
    (r"GLIBC_", "this Linux is too old for it: install an older version of the package, or use a newer system"),
    (r"libgomp|libGL|cannot open shared object", "install the missing library with the system's package manager"),
    (r"DLL", "install the Microsoft Visual C++ Redistributable"),
    (r"numpy.*(ABI|binary incompat|dtype size)|compiled using NumPy 1", "it does not fit this numpy: upgrade it"),
)


def check_imports(*, gpu: bool) -> list[Finding]:
    """Import what is installed.

    Parameters
    ----------
    gpu : bool
        Whether there is one, which torch should then use.
    """
    modules = [module for module in _PROBES if module not in _OPTIONAL or _is_there(module)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        findings = list(pool.map(check_import, modules))
    if not _is_there("openvino"):
        advice = "pip install openvino: encoding on the CPU runs in torch, slower"
        findings.append(Finding("warn", "import openvino", "not installed", advice))
    return [_with_gpu(finding) if gpu else finding for finding in findings]


def check_import(module: str) -> Finding:
    """Import one, and use it a little."""
    if not _is_there(module):
        return Finding("bad", f"import {module}", "not installed", "reinstall featx: pip install --upgrade featx")
    outcome = run(f"import {module}; {_PROBES.get(module, '')}")
    if not outcome.reason:
        return Finding("ok", f"import {module}", outcome.output)
    return Finding("bad", f"import {module}", outcome.reason, advise(outcome.reason + outcome.warnings, module))


def advise(text: str, module: str) -> str:
    """What to do about a failure that printed this."""
    again = f"reinstall it: pip install --force-reinstall {module}"
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), again)


def _with_gpu(finding: Finding) -> Finding:
    if finding.what != "import torch" or not finding.value.endswith("CPU only"):
        return finding
    advice = "the GPU is not used: install torch for CUDA (pytorch.org), or a newer driver"
    return Finding("warn", finding.what, finding.value, advice)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
