"""A bundle's page in chromium beside its Predictor: pixels, embeddings and labels, and seconds until the first answer.

    python -m tests.benchmarks.web                   # 200 crops of scikit-learn's two photos
    python -m tests.benchmarks.web --foods FOLDER    # the photos of foods that foods.py has in FOLDER

Each image is asked as files of several kinds. "canvas" is what the pixels would be if the browser resized: drawImage
with imageSmoothingQuality "high".
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright import sync_api

import featx
from featx.images import PixelPath
from tests.benchmarks.foods import read_foods
from tests.benchmarks.photos import write_distinct
from tests.deploy.browsing import CHROMIUM, ask_page, fetch_runtime, static_server

CANVAS = """async ([content, size, resize]) => {
    const file = new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))]);
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const side = Math.min(bitmap.width, bitmap.height) * size / resize;
    const context = new OffscreenCanvas(size, size).getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, size, size);
    const { data } = context.getImageData(0, 0, size, size);
    return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="as many are trained on; default: %(default)s")
    parser.add_argument("--foods", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths, labels = read(arguments, Path(scratch))
        half = len(paths) // 2
        model = featx.image_pipeline("logistic", cache=False, verbose=0).fit(paths[half:], labels[half:])
        bundle = featx.export_bundle(model, Path(scratch, "bundle"), extras="web")
        fetch_runtime(bundle.folder)
        report_sizes(bundle.folder)
        with static_server(bundle.folder) as url, sync_api.sync_playwright() as playwright:
            report_waits(playwright, url, paths[0])
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            compare(browser, url, bundle, paths[:half])
            browser.close()


def read(arguments: argparse.Namespace, scratch: Path) -> tuple[list[str], np.ndarray]:
    if arguments.foods is None:
        # Classes that nothing in the images tells apart: labels change at the least difference.
        return write_distinct(scratch, 2 * arguments.images), np.arange(2 * arguments.images) % 10
    foods = read_foods(arguments.foods).sample(frac=1, random_state=0)[: 2 * arguments.images]
    return foods["photo"].tolist(), foods["grup"].to_numpy()


def report_sizes(bundle: Path) -> None:
    ours = sum(file.stat().st_size for file in (bundle / "web").glob("*.*") if file.is_file())
    runtime = sum(file.stat().st_size for file in (bundle / "web" / "onnxruntime-web").iterdir())
    graph = (bundle / "model.onnx").stat().st_size
    print(f"page {ours / 1e3:.0f} kB, ONNX Runtime Web {runtime / 1e6:.1f} MB, graph {graph / 1e6:.1f} MB")


def report_waits(playwright, url: str, path: str) -> None:
    """Chromium anew each time, so that nothing is in its cache."""
    firsts, nexts = [], []
    for _ in range(5):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(f"{url}/web/")
        page.set_input_files("#files", path)
        page.wait_for_selector("#answers .label")
        firsts.append(time.perf_counter() - started)
        for _ in range(10):
            page.set_input_files("#files", path)
            sync_api.expect(page.locator("#answers")).not_to_have_attribute("aria-busy", "true")
            note = page.locator("#note").inner_text()
            nexts.append(float(note.split(" in ")[1].split()[0]) / (1 if note.endswith("ms") else 1e-3))
        browser.close()
    print(f"from opening the page to its first answer {statistics.median(firsts):.1f} s, then", end=" ")
    print(f"{statistics.median(nexts):.0f} ms an image")


def compare(browser, url: str, bundle, paths: list[str]) -> None:
    page = browser.new_page()
    page.goto(f"{url}/web/")
    predictor = featx.Predictor(bundle)
    preprocess = featx.Preprocess(**bundle.manifest["inputs"][0]["preprocess"])
    line = "{:32} {:>7} {:>13} {:>9} {:>10} {:>10} {:>8}"
    print(line.format("files", "images", "equal pixels", "largest", "L2, median", "L2, max", "labels"))
    for name, write in KINDS.items():
        files = [write(Image.open(path).convert("RGB")) if write else Path(path).read_bytes() for path in paths]
        expected = predictor.outputs(files, ["label", "embedding"])
        pixels = [PixelPath(preprocess).pixels(file).astype(int) for file in files]
        answers = [ask_page(page, file, preprocess.size) for file in files]
        labels = [answer["label"] for answer in answers]
        report(line, name, pixels, [a["pixels"] for a in answers], expected, [a["embedding"] for a in answers], labels)
    files = [Path(path).read_bytes() for path in paths]
    pixels = [PixelPath(preprocess).pixels(file).astype(int) for file in files]
    asked = [[base64.b64encode(f).decode(), preprocess.size, preprocess.resize or preprocess.size] for f in files]
    drawn = [np.frombuffer(base64.b64decode(page.evaluate(CANVAS, one)), np.uint8) for one in asked]
    drawn = [one.reshape(preprocess.size, preprocess.size, 4)[:, :, :3] for one in drawn]
    session = predictor._engine  # the graph itself, which takes such pixels
    got = session.run({bundle.manifest["inputs"][0]["tensor"]: np.stack(drawn)}, {}, ["label", "embedding"])[0]
    expected = predictor.outputs(files, ["label", "embedding"])
    report(line, "as they are, canvas", pixels, drawn, expected, got["embedding"], got["label"])


def report(line: str, name: str, pixels, got, expected, embeddings, labels) -> None:
    off = [np.abs(a - b) for a, b in zip(pixels, got, strict=True)]
    equal = statistics.mean(float((one == 0).mean()) for one in off)
    norms = np.linalg.norm(expected["embedding"], axis=1)
    l2 = np.linalg.norm(expected["embedding"] - np.asarray(embeddings), axis=1) / norms
    same = np.mean([str(a) == str(b) for a, b in zip(expected["label"], labels, strict=True)])
    largest = max(int(one.max()) for one in off)
    row = (f"{equal:.3%}", largest, f"{np.median(l2):.0e}", f"{l2.max():.0e}", f"{same:.1%}")
    print(line.format(name, len(off), *row), flush=True)


def save(kind: str, **options) -> Callable[[Image.Image], bytes]:
    def write(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return write


def oriented(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return save("JPEG", quality=90, exif=exif)(image)


def half_transparent(image: Image.Image) -> bytes:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return save("PNG")(image)


def profiled(image: Image.Image) -> bytes:
    """In a color space that is far from sRGB: gamma 1, by an ICC profile of its own."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4) + (256).to_bytes(2) + bytes(2)  # ICC.1:2010, 10.5: u8Fixed8 1.0
    primaries = {
        b"rXYZ": (0.6097, 0.3111, 0.0195),
        b"gXYZ": (0.2053, 0.6257, 0.0609),
        b"bXYZ": (0.1492, 0.0632, 0.7446),
    }
    fixed = {
        tag: b"XYZ " + bytes(4) + b"".join(round(x * 65536).to_bytes(4) for x in xyz) for tag, xyz in primaries.items()
    }
    white = b"XYZ " + bytes(4) + b"".join(round(x * 65536).to_bytes(4) for x in (0.9642, 1, 0.8249))
    parts = {**fixed, b"wtpt": white, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)}
    table, data, place = len(parts).to_bytes(4), b"", 128 + 4 + 12 * len(parts)
    for tag, part in parts.items():
        table += tag + (place + len(data)).to_bytes(4) + len(part).to_bytes(4)
        data += part
    size = (place + len(data)).to_bytes(4)
    header = size + bytes(4) + bytes.fromhex("02400000") + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += white[8:]  # what is white to the profile connection space
    return save("JPEG", quality=90, icc_profile=header.ljust(128, b"\0") + table + data)(image)


def deep(image: Image.Image) -> bytes:
    values = np.asarray(image.convert("L")).astype(np.uint16) * 257 - 100
    return save("PNG")(Image.fromarray(values.clip(0).astype(np.uint16)))


KINDS: dict[str, Callable[[Image.Image], bytes] | None] = {
    "as they are": None,
    "PNG": save("PNG"),
    "JPEG, quality 90, 4:4:4": save("JPEG", quality=90, subsampling=0),
    "JPEG, quality 75, 4:2:0": save("JPEG", quality=75, subsampling=2),
    "JPEG, progressive": save("JPEG", quality=85, progressive=True),
    "JPEG, grey": lambda image: save("JPEG", quality=90)(image.convert("L")),
    "JPEG, turned by EXIF": oriented,
    "JPEG, CMYK": lambda image: save("JPEG", quality=90)(image.convert("CMYK")),
    "JPEG, linear by its profile": profiled,
    "WebP, quality 80": save("WEBP", quality=80),
    "PNG, half transparent": half_transparent,
    "PNG, 16 bits, grey": deep,
}
if __name__ == "__main__":
    main()
