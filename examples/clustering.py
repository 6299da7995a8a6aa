"""Without labels: do clusters of embeddings come nearer to the real groups than clusters of raw pixels?

    python examples/clustering.py                       # Fashion-MNIST where installed, else scikit-learn's digits
    python examples/clustering.py photos/               # a folder of your own: photos/<label>/*.jpg
    python examples/clustering.py --chart clusters.png  # and a picture: some images of each cluster

It prints the adjusted Rand index (0: chance, 1: the groups themselves) and normalised mutual information of KMeans and
of agglomerative clustering, with transfer (a pretrained encoder) and without (raw pixels), each with a 95 % bootstrap
interval, and says whether transfer helped. Labels are used to judge alone, and to say how many clusters there are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.preprocessing import normalize

import featx
from _images import read_images

RAW_SIZE = 16
N_SHOWN = 14
SCORES = {"adjusted Rand": adjusted_rand_score, "NMI": normalized_mutual_info_score}


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read_images(arguments.folder, arguments.limit)
    k = len(np.unique(labels))
    print(f"{len(images)} images of {source}, {k} labels and as many clusters")
    encoder = featx.ImageEncoder(arguments.encoder, preprocess="squash", cache=arguments.cache)
    spaces = {f"embeddings ({arguments.encoder})": encoder.transform(images), "raw pixels": raw_pixels(images)}
    methods = {"KMeans": KMeans(k, n_init=10, random_state=0), "agglomerative": AgglomerativeClustering(k)}
    found = {(m, s): way.fit_predict(normalize(rows)) for m, way in methods.items() for s, rows in spaces.items()}
    table = {
        key: {name: interval(of, labels, clusters, arguments.samples) for name, of in SCORES.items()}
        for key, clusters in found.items()
    }
    print(pd.DataFrame(table).T.to_string())
    for method in methods:
        print(verdict(method, labels, *(found[method, space] for space in spaces), arguments.samples))
    if arguments.chart:
        draw(images, {space: found["KMeans", space] for space in spaces}, arguments.chart)
        print(f"saved {arguments.chart}")


def bootstrap(score: Callable[[np.ndarray], float], n: int, samples: int) -> tuple[float, float, float]:
    """A score of all rows and its 95 % interval, over samples of the images; the clusters stay."""
    random = np.random.default_rng(0)
    value = score(np.arange(n))
    sampled = np.percentile([score(random.integers(0, n, n)) for _ in range(samples)], [97.5, 2.5])
    # Reflected at the score: an image that is drawn twice agrees with itself, which makes samples score too high.
    return value, *(2 * value - sampled)


def interval(score: Callable[..., float], labels: np.ndarray, clusters: np.ndarray, samples: int) -> str:
    found = bootstrap(lambda rows: score(labels[rows], clusters[rows]), len(labels), samples)
    return "{:.3f} [{:.3f}, {:.3f}]".format(*found)


def verdict(method: str, labels: np.ndarray, with_transfer: np.ndarray, without: np.ndarray, samples: int) -> str:
    """Whether transfer helps, from the difference on the same samples of images."""

    def gain(rows: np.ndarray) -> float:
        return adjusted_rand_score(labels[rows], with_transfer[rows]) - adjusted_rand_score(labels[rows], without[rows])

    middle, low, high = bootstrap(gain, len(labels), samples)
    word = "helps" if low > 0 else "hurts" if high < 0 else "makes no clear difference"
    return f"{method}: transfer {word} here: adjusted Rand {middle:+.3f} [{low:+.3f}, {high:+.3f}]"


def raw_pixels(images: list[Image.Image]) -> np.ndarray:
    small = featx.Preprocess(RAW_SIZE, fit="squash")
    return np.stack([small(image.convert("RGB")).ravel() / 255 for image in images])


def draw(images: list[Image.Image], found: dict[str, np.ndarray], path: Path) -> None:
    """A cluster a row, its first images side by side, in each space."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    k = max(clusters.max() for clusters in found.values()) + 1
    figure = plt.figure(figsize=(2 * N_SHOWN * 0.7 + 2, 0.75 * k + 0.8), layout="constrained")
    for part, (name, clusters) in zip(figure.subfigures(1, len(found)), found.items(), strict=True):
        part.suptitle(f"KMeans of {name}: a cluster a row")
        for cluster, row in enumerate(part.subplots(k, N_SHOWN, squeeze=False)):
            members = np.flatnonzero(clusters == cluster)
            for axes, i in zip(row, members, strict=False):
                axes.imshow(images[i], cmap="gray")
            for axes in row:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            row[0].set_ylabel(f"{len(members)}", rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, default=2000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=200, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw images of each cluster")
    return parser.parse_args()


if __name__ == "__main__":
    main()
