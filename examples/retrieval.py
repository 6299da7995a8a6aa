"""Without labels to train on: find images that look alike, by the distance of their embeddings.

    python examples/retrieval.py                      # Fashion-MNIST where it is installed, else scikit-learn's digits
    python examples/retrieval.py photos/              # a folder of your own: photos/<label>/*.jpg
    python examples/retrieval.py --chart found.png    # and a picture: some queries and their nearest neighbours

Each image is a query against all others; one of the same label is a hit. It prints precision among the first 1 and 10
and mean average precision, with transfer (a pretrained encoder) and without (raw pixels), and says whether transfer
helped. Labels are used to judge alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

import featx
from _images import read_images

RAW_SIZE = 16
N_QUERIES, N_SHOWN = 8, 8


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read_images(arguments.folder, arguments.limit)
    print(f"{len(images)} images of {source}, {len(np.unique(labels))} labels; each one is a query against the others")
    encoder = featx.ImageEncoder(arguments.encoder, preprocess="squash", cache=arguments.cache)
    spaces = {f"embeddings ({arguments.encoder})": encoder.transform(images), "raw pixels": raw_pixels(images)}
    ranked = {name: rank(rows) for name, rows in spaces.items()}
    scores = {name: judge(order, labels) for name, order in ranked.items()}
    print(pd.DataFrame({name: of.mean() for name, of in scores.items()}).T.to_string(float_format="{:.3f}".format))
    print(verdict(*(of["mean average precision"] for of in scores.values())))
    if arguments.chart:
        draw(images, labels, ranked, arguments.chart)
        print(f"saved {arguments.chart}")


def rank(rows: np.ndarray) -> np.ndarray:
    """For each row all others, the nearest first, by the cosine."""
    neighbours = NearestNeighbors(n_neighbors=len(rows) - 1).fit(normalize(rows))
    return neighbours.kneighbors(return_distance=False)  # without rows: a row is no neighbour of its own


def judge(order: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Scores of each query; queries without another image of their label have none."""
    hits = labels[order] == labels[:, None]
    hits = hits[hits.any(axis=1)]
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    ten = min(10, hits.shape[1])
    columns = {"precision at 1": precision[:, 0], f"precision at {ten}": precision[:, ten - 1]}
    return pd.DataFrame({**columns, "mean average precision": average})


def verdict(with_transfer: pd.Series, without: pd.Series) -> str:
    """Whether transfer helps, from the paired difference of the queries and its standard error."""
    difference = with_transfer - without
    gain, error = 100 * difference.mean(), 100 * difference.std() / np.sqrt(len(difference))
    word = "helps" if gain > 2 * error else "hurts" if gain < -2 * error else "makes no clear difference"
    return f"transfer {word} here: {gain:+.1f} +- {error:.1f} points of mean average precision"


def raw_pixels(images: list[Image.Image]) -> np.ndarray:
    small = featx.Preprocess(RAW_SIZE, fit="squash")
    return np.stack([small(image.convert("RGB")).ravel() / 255 for image in images])


def draw(images: list[Image.Image], labels: np.ndarray, ranked: dict[str, np.ndarray], path: Path) -> None:
    """A contact sheet: a query a row, and its nearest neighbours in each space; a red frame is another label."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    queries = pd.Series(np.arange(len(labels))).groupby(labels).first().to_numpy()[:N_QUERIES]
    figure = plt.figure(figsize=(2 * N_SHOWN + 3, len(queries) + 1.2), layout="constrained")
    for part, (name, order) in zip(figure.subfigures(1, len(ranked)), ranked.items(), strict=True):
        part.suptitle(f"{name}: the query, then its nearest")
        grid = part.subplots(len(queries), N_SHOWN + 1, squeeze=False)
        for row, query in zip(grid, queries, strict=True):
            for axes, i in zip(row, [query, *order[query][:N_SHOWN]], strict=False):
                show(axes, images[i], None if i == query else labels[i] == labels[query])
            row[0].set_ylabel(labels[query], rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def show(axes, image: Image.Image, hit: bool | None) -> None:
    axes.imshow(image, cmap="gray")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color={None: "black", True: "lightgray", False: "red"}[hit], linewidth=3)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, default=2000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw queries and what they found")
    return parser.parse_args()


if __name__ == "__main__":
    main()
