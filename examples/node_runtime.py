"""One bundle, two runtimes: ONNX Runtime in Node gives the labels that the Predictor gives in Python.

    python examples/node_runtime.py                 # scikit-learn's digits
    python examples/node_runtime.py photos/         # a folder of your own: photos/<label>/*.jpg

It needs Node.js and npm, `pip install ".[export]"`, and the npm registry: npm's onnxruntime-node and sharp, which
decodes images, are installed in a temporary folder. What is between them is in the bundle: `extras="web"` writes
modules that make pixels, tensors and labels in a browser, and do the same in Node.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

import featx

SCRIPT = Path(__file__).with_name("node_runtime.mjs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--limit", type=int, default=200, help="images; default: %(default)s")
    arguments = parser.parse_args()
    if not shutil.which("npm"):
        raise SystemExit("Node.js and npm are not installed (Debian: apt-get install nodejs npm).")
    with tempfile.TemporaryDirectory() as scratch:
        compare(read_photos(arguments, Path(scratch)), Path(scratch))


def compare(photos: pd.DataFrame, scratch: Path) -> None:
    images, labels = photos["image"].tolist(), photos["label"]
    model = featx.image_pipeline("logistic", cache="cache").fit(images, labels)
    bundle = featx.export_bundle(model, scratch / "bundle", extras="web")
    in_python = featx.Predictor(bundle).predict(images).tolist()
    in_node = predict_in_node(bundle.folder, images, scratch)
    equal = np.mean([a == b for a, b in zip(in_python, in_node, strict=True)])
    print(f"{len(images)} images, labels equal in Python and in Node: {equal:.1%}")
    if equal < 1:
        raise SystemExit(1)


def predict_in_node(bundle: Path, images: list[str], scratch: Path) -> list:
    shutil.copy(SCRIPT, scratch)
    # Its install script would fetch the parts for CUDA.
    skip = {**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"}
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "onnxruntime-node", "sharp"]
    subprocess.run(install, cwd=scratch, env=skip, check=True, stdout=subprocess.DEVNULL)
    command = ["node", SCRIPT.name, bundle, *(Path(image).absolute() for image in images)]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def read_photos(arguments: argparse.Namespace, scratch: Path) -> pd.DataFrame:
    folder = arguments.folder
    if folder is None:
        folder = scratch / "digits"
        digits = load_digits()
        for i in range(arguments.limit):
            file = folder / str(digits.target[i]) / f"{i:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[i] * 255 / 16).astype(np.uint8)).resize((64, 64)).save(file)
    photos = featx.read_image_folder(folder)
    return photos.sample(min(arguments.limit, len(photos)), random_state=0)


if __name__ == "__main__":
    main()
