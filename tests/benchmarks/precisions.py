"""What each precision costs and gains here: how far embeddings move by kind of image, and labels on Fashion-MNIST."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_images

import featx
from featx.exceptions import DeviceError
from tests.benchmarks.fashion import DATA, read_fashion

PRECISIONS = ("tf32", "bfloat16", "float16")


def kinds() -> dict[str, list[np.ndarray]]:
    """Sharp photos, whole; and small crops of them, which are blown up to the encoder's size."""
    photos = load_sample_images().images
    small = [photo[y : y + 64, x : x + 64] for photo in photos for y in range(0, 363, 64) for x in range(0, 576, 64)]
    return {"photos": [photo[:, x : x + 427] for photo in photos for x in (0, 213)], "crops of 64 x 64": small}


def distances(runtime: str, device: str) -> pd.DataFrame:
    """Relative L2 and cosine of each precision against float32, by kind of image."""
    rows = []
    for kind, images in kinds().items():
        options = {"cache": False, "verbose": 0, "runtime": runtime, "device": device}
        exact = featx.ImageEncoder(**options).transform(images)
        for precision in PRECISIONS:
            try:
                reduced = featx.ImageEncoder(precision=precision, **options).transform(images)
            except DeviceError as error:
                print(f"{precision}: {error}")
                continue
            lengths = np.linalg.norm(exact, axis=1)
            l2 = np.linalg.norm(reduced - exact, axis=1) / lengths
            cosine = np.sum(reduced * exact, axis=1) / lengths / np.linalg.norm(reduced, axis=1)
            rows.append((precision, kind, len(images), np.median(l2), l2.max(), cosine.min()))
    return pd.DataFrame(rows, columns=["precision", "images", "n", "relative_l2", "worst", "worst_cosine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="of Fashion-MNIST; 0: none")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    print(distances(arguments.runtime, arguments.device).to_string(index=False, float_format="{:.3f}".format))
    if not arguments.images:
        return
    images, labels = read_fashion(arguments.data)
    encoder = featx.ImageEncoder(preprocess="squash", cache=False, verbose=0)
    table = featx.compare_precisions(images[: arguments.images], encoder, labels[: arguments.images])
    print(table.drop(columns="note").to_string(float_format="{:.4f}".format))
    for precision, note in table["note"][table["note"] != ""].items():
        print(f"{precision}: {note}")


if __name__ == "__main__":
    main()
