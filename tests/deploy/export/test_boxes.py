from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import venv
from pathlib import Path

import httpx
import pytest
import yaml

import featx
from tests.deploy.service.serving import wait_for

PORT = "8000"
BOXES = ("docker", "systemd", "kubernetes")
HAS_DOCKER = bool(shutil.which("docker")) and subprocess.run(["docker", "info"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def boxed(model, tmp_path_factory) -> Path:
    """A bundle's folder, with all boxes, and beside them what no image must hold."""
    folder = featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "boxed", extras=BOXES).folder
    (folder / "api-keys.txt").write_text("secret")
    return folder


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """A Dockerfile's lines as pairs of instruction and argument, without comments."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def copy_context(folder: Path, target: Path) -> None:
    """What ``COPY . .`` copies: what `.dockerignore` lets in by name."""
    rules = (folder / ".dockerignore").read_text().splitlines()
    assert rules[0] == "*"
    assert all(rule.startswith("!") or rule == "**/__pycache__" for rule in rules[1:])
    for name in (rule[1:] for rule in rules if rule.startswith("!")):
        source, copy = folder / name, target / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)


@pytest.fixture
def port() -> str:
    """One that is free, to stand for the one that all boxes name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class Served:
    """A process that serves, until the block ends."""

    def __init__(self, command: list[str], folder: Path, log: Path, environment: dict[str, str]):
        self._log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=file, stdout=file)
        wait_for(lambda: "running on" in log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, log.read_text()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(120) == 0, self._log.read_text()


def with_venv(scripts: Path) -> dict[str, str]:
    """An environment in which ``python`` is that of a virtual one, and nothing of the checkout is found."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def bare(boxed, tmp_path_factory) -> Path:
    """The scripts of a bare environment in which the Dockerfile's own commands have been run."""
    folder = tmp_path_factory.mktemp("image")
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    (folder / "bundle").mkdir()
    for instruction, argument in instructions((boxed / "Dockerfile").read_text()):
        if instruction == "COPY":
            *sources, target = json.loads(argument)
            assert target == "./"
            if sources == ["."]:
                for name in ("requirements.txt", "requirements-serve.txt"):
                    (folder / "bundle" / name).unlink()
                copy_context(boxed, folder / "bundle")
            else:
                for name in sources:
                    shutil.copy(boxed / name, folder / "bundle")
        elif instruction == "RUN":
            sooner = {**with_venv(scripts), "PIP_COMPILE": "0"}  # most of its modules are never imported
            subprocess.run(json.loads(argument), cwd=folder / "bundle", env=sooner, check=True)
    return scripts


def answer(url: str, image: bytes) -> dict:
    return httpx.post(f"{url}/predict", files={"image": image}, timeout=60).json()["predictions"][0]


def test_a_dockerfile_is_pinned_unprivileged_and_keeps_its_layers(boxed, bundle):
    lines = instructions((boxed / "Dockerfile").read_text())
    by_name = dict(lines)
    python = ".".join(bundle.manifest["versions"]["python"].split(".")[:2])
    assert by_name["FROM"] == f"python:{python}-slim"
    assert [name for name, _ in lines if name in ("COPY", "RUN", "USER")] == ["COPY", "RUN", "COPY", "USER"]
    assert all(user.isdecimal() and int(user) > 0 for user in by_name["USER"].split(":"))
    check = by_name["HEALTHCHECK"].split(" CMD ")[1]
    for command in [by_name["CMD"], check, *(text for name, text in lines if name in ("RUN", "COPY"))]:
        assert isinstance(json.loads(command), list)  # no shell


def test_an_image_holds_the_files_of_the_bundle_alone(boxed, tmp_path):
    copy_context(boxed, tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"bundle.json", *json.loads((boxed / "bundle.json").read_text())["files"]}


@pytest.mark.skipif(HAS_DOCKER, reason="the image itself is built and asked")
def test_the_dockerfiles_own_steps_make_a_service_that_answers(boxed, bare, jpegs, port, tmp_path):
    by_name = dict(instructions((boxed / "Dockerfile").read_text().replace(PORT, port)))
    command, check = json.loads(by_name["CMD"]), json.loads(by_name["HEALTHCHECK"].split(" CMD ")[1])
    environment = {**with_venv(bare), **dict(pair.split("=") for pair in by_name["ENV"].split())}
    bundle = bare.parent.parent / "bundle"
    assert subprocess.run(check, cwd=bundle, env=environment, capture_output=True).returncode == 1
    with Served(command, bundle, tmp_path / "log", environment):
        subprocess.run(check, cwd=bundle, env=environment, check=True)
        got = answer(f"http://127.0.0.1:{port}", jpegs[30])
        probes = re.findall(r"path: (/\S+)", (boxed / "kubernetes.yaml").read_text())
        probed = {path: httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60).status_code for path in probes}
    assert probed == {"/health": 200, "/ready": 200}
    assert got["label"] == featx.Predictor(boxed).predict([jpegs[30]])[0]
    listed = subprocess.run(
        ["python", "-m", "pip", "list"], env=environment, capture_output=True, text=True, check=True
    )
    assert "onnxruntime" in listed.stdout
    assert not re.search("^(torch|featx|scikit-learn) ", listed.stdout, re.MULTILINE)


@pytest.mark.skipif(not HAS_DOCKER, reason="no container engine is running")
def test_the_image_is_built_as_the_readme_says_and_answers(boxed, jpegs, port):
    build, run = re.findall(r"^```sh\n(docker build .*?\n)(docker run .*?)^```", readme(boxed), re.S | re.M)[0]
    subprocess.run(["bash", "-c", build], cwd=boxed, check=True)
    started = subprocess.run(
        ["bash", "-c", run.replace("run ", "run -d ", 1)], capture_output=True, text=True, check=True
    )
    name = started.stdout.strip()
    try:
        wait_for(lambda: b"running on" in subprocess.run(["docker", "logs", name], capture_output=True).stderr)
        assert answer(f"http://127.0.0.1:{port}", jpegs[30])["label"] == featx.Predictor(boxed).predict([jpegs[30]])[0]
        form = "{{.State.Health.Status}}"
        inspect = ["docker", "inspect", "--format", form, name]
        wait_for(lambda: subprocess.run(inspect, capture_output=True, text=True).stdout.strip() == "healthy")
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True)


def readme(folder: Path) -> str:
    return (folder / "README.md").read_text()


def read_unit(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.fixture
def unit(boxed, bare, tmp_path) -> Path:
    """The unit, with the places of its environment and its bundle."""
    text = (boxed / "image-model.service").read_text()
    text = text.replace("/opt/image-model/venv/bin/python", str(bare / "python"))
    file = tmp_path / "image-model.service"
    file.write_text(text.replace("/opt/image-model/bundle", str(bare.parent.parent / "bundle")))
    return file


def test_the_unit_is_hardened(boxed):
    entries = read_unit((boxed / "image-model.service").read_text())
    expected = {"DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "Restart": "on-failure"}
    assert entries | expected == entries
    assert entries["MemoryMax"]
    assert "-HUP $MAINPID" in entries["ExecReload"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_unit(unit):
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_starts_a_service_that_answers(unit, boxed, bare, jpegs, port, tmp_path):
    entries = read_unit(unit.read_text().replace(PORT, port))
    environment = {**with_venv(bare), **dict([entries["Environment"].split("=")])}
    with Served(shlex.split(entries["ExecStart"]), tmp_path, tmp_path / "log", environment):
        got = answer(f"http://127.0.0.1:{port}", jpegs[0])
    assert got["label"] == featx.Predictor(boxed).predict([jpegs[0]])[0]


@pytest.fixture
def kubernetes(boxed) -> dict[str, dict]:
    return {part["kind"]: part for part in yaml.safe_load_all((boxed / "kubernetes.yaml").read_text())}


def test_names_ports_and_labels_of_kubernetes_agree(kubernetes, boxed):
    deployment, service = kubernetes["Deployment"], kubernetes["Service"]
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == container["args"][container["args"].index("--port") + 1]
    (offered,) = service["spec"]["ports"]
    probes = [container["livenessProbe"]["httpGet"]["port"], container["readinessProbe"]["httpGet"]["port"]]
    assert [offered["targetPort"], *probes] == [port["name"]] * 3
    assert {mount["name"] for mount in container["volumeMounts"]} == {entry["name"] for entry in pod["spec"]["volumes"]}
    assert container["image"] in readme(boxed)
    # The image starts the same service as the pod.
    by_name = dict(instructions((boxed / "Dockerfile").read_text()))
    assert json.loads(by_name["CMD"]) == container["args"]
    assert by_name["USER"].split(":")[0] == str(pod["spec"]["securityContext"]["runAsUser"])


def test_kubernetes_gives_a_pod_limits_and_no_privileges(kubernetes):
    pod = kubernetes["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == expected
    assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_options_stay_below_a_lower_limit_of_the_bundle(tiny, crops, places, tmp_path):
    model = featx.image_pipeline(encoder=tiny, max_pixels=1_000_000, cache=False, verbose=0).fit(crops, places)
    featx.export_bundle(model, tmp_path / "bundle", extras=BOXES)
    for name in ("Dockerfile", "image-model.service", "kubernetes.yaml"):
        words = re.sub(r'[",\[\]]', " ", (tmp_path / "bundle" / name).read_text()).split()
        assert words[words.index("--max-pixels") + 1] == "1000000"


@pytest.mark.parametrize("name", BOXES)
def test_each_box_is_written_alone_and_explained(model, tmp_path, name):
    files = {
        "docker": {"Dockerfile", ".dockerignore"},
        "systemd": {"image-model.service"},
        "kubernetes": {"kubernetes.yaml"},
    }
    folder = featx.export_bundle(model, tmp_path / "bundle", extras=name).folder
    listed = json.loads((folder / "bundle.json").read_text())["files"]
    beside = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - set(listed)
    assert beside - {"bundle.json"} == files[name]
    assert all(file in readme(folder) for file in files[name])
