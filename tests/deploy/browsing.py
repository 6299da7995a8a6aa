"""A bundle's pages in a browser: ONNX Runtime Web as its README fetches it, a server of static files, and questions."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

CHROMIUM = shutil.which("chromium")
NPM = shutil.which("npm")

# What the page does with a file, step by step. Arrays go as base64.
ANSWER = """async (content) => {
    const page = await import("./page.mjs"), { prepare } = await import("./pixels.mjs");
    const file = new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))]);
    const model = await page.opened;
    const image = await page.decode(file, model.manifest.image.max_pixels);
    const pixels = prepare(image.pixels, image.width, image.height, model.input.preprocess);
    const { label, probabilities, embedding } = await model.answer(image);
    const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return { label, probabilities, pixels: text(pixels), embedding: text(new Uint8Array(embedding.buffer.slice(
        embedding.byteOffset, embedding.byteOffset + embedding.byteLength))) };
}"""


def fetch_runtime(bundle: Path) -> None:
    """Run what the README says about ONNX Runtime Web, in a shell."""
    (commands,) = re.findall(r"^```sh\n(npm pack .*?)^```", (bundle / "README.md").read_text(), re.S | re.M)
    subprocess.run(["bash", "-euc", commands], cwd=bundle, check=True, capture_output=True)


@contextmanager
def watched_pages(browser: Any, silent: str) -> Iterator[Callable[..., Any]]:
    """Yield what opens pages; that their consoles complain fails, but for messages that hold a text."""
    complaints: list[str] = []
    pages = []

    def hear(message: Any) -> None:
        if message.type == "error" and silent not in message.text:
            complaints.append(message.text)

    def open_page(url: str, **options: Any) -> Any:
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not complaints


@contextmanager
def static_server(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """What ``python -m http.server`` does, in a thread, with more headers if need be; yields its address."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ask_page(page: Any, content: bytes, size: int) -> dict[str, Any]:
    """What the page makes of an image file: label, probabilities, pixels, embedding."""
    answer = page.evaluate(ANSWER, base64.b64encode(content).decode())
    pixels = np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8).reshape(size, size, 3)
    return {**answer, "pixels": pixels, "embedding": np.frombuffer(base64.b64decode(answer["embedding"]), np.float32)}
