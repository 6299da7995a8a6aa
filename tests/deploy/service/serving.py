"""A bundle's service in a process of its own, and what is sent to it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")
HTML_LABEL = "<b onclick=x>bold</b>"


class Running:
    """``python serve.py`` in a bundle's folder, with nothing of the checkout on its path."""

    def __init__(self, bundle: Path, log: Path, *options: str, python: tuple[str, ...] = (), key: str = ""):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if key:
            environment["FEATX_API_KEY"] = key
        command = [sys.executable, *python, str(bundle / "serve.py"), "--port", "0", *options]
        self._log, self._ordered = log, False
        self.headers = {"x-api-key": key} if key else {}
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, cwd=log.parent, env=environment, stderr=file)
        wait_for(lambda: "running on" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        self.port = int(self.log.split("http://127.0.0.1:")[1].split()[0])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        assert self.stop() == 0, self.log
        assert "Traceback" not in self.log

    @property
    def log(self) -> str:
        """Its whole lines: the last one may be on its way."""
        text = self._log.read_text()
        return text[: text.rfind("\n") + 1]

    @property
    def lines(self) -> list[dict]:
        """The log; without what ``-X importtime`` prints."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def get(self, path: str, **options) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **{"headers": self.headers, **options})

    def post(self, path: str = "/predict", headers=None, **body) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, headers={**self.headers, **(headers or {})}, **body)

    def metrics(self) -> dict[str, float]:
        """Each sample's value, by its name and labels as they are written."""
        lines = self.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def raw(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=600)
        connection.sendall(data)
        return connection

    def terminate(self) -> None:
        """Order it to stop, once: a second order, when it has all but stopped, would be another end."""
        if not self._ordered:
            self._ordered = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        self.terminate()
        return self.process.wait(600)

    def memory(self, entry: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{entry}:")[1].split()[0]) * 1024 / 1e6


def replace_bundle(folder: Path, by: Path) -> None:
    """Put another bundle into a folder."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(by, folder)


def wait_for(happens, seconds: float = 600) -> None:
    ends = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)


def as_file(pixels: np.ndarray | Image.Image, kind: str = "JPEG", **options) -> bytes:
    image, file = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_that_declares(width: int, height: int) -> bytes:
    """A small file whose header tells of a large image."""
    file = as_file(Image.new("L", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + file[24:29]
    return file[:12] + header + struct.pack(">I", zlib.crc32(header)) + file[33:]


def as_form(*images: bytes, name: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, ("photo.jpg", image)) for image in images]


def as_base64(*images: bytes) -> list[str]:
    return [base64.b64encode(image).decode() for image in images]
