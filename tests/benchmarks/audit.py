"""What an audit finds of planted copies, wrong labels and outliers, and how much of what it finds is right."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import featx
from featx.auditing import audit
from featx.auditing._similarity import COPY_KINDS, make_copies
from tests.benchmarks.fashion import DATA, read_fashion

_N = 1820
_COPIED = 60  # three ways each: 2,000 rows
_FLIPPED = 0.05
_COMPARED = 1500
_FALSE_SHARE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    encoder = featx.ImageEncoder(cache=arguments.cache)
    images, labels = read_fashion(arguments.data)
    report("Fashion-MNIST", images[:_N], labels[:_N], encoder, _COPIED)
    crops, photo = parts_of_photos(range(0, 300, 80), range(0, 480, 107), 120, 160)
    report("crops of two photos", crops, photo, encoder, len(crops) // 10)
    tiles, photo_of_tile = parts_of_photos(range(0, 364, 64), range(0, 577, 64), 64, 64)
    report("tiles of two photos", tiles, photo_of_tile, encoder, len(tiles) // 10)
    report_outliers(images[:_N], crops[::2], encoder)
    report_cosine(images[:_COMPARED], encoder)


def parts_of_photos(tops: range, lefts: range, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts of two photos, and the photo that each is of."""
    corners = [(y, x) for y in tops for x in lefts]
    photos = load_sample_images().images
    parts = np.array([photo[y : y + height, x : x + width] for photo in photos for y, x in corners])
    return parts, np.repeat([0, 1], len(corners))


def report(name: str, images: np.ndarray, true: np.ndarray, encoder: featx.ImageEncoder, n_copied: int) -> None:
    rng = np.random.default_rng(0)
    of = rng.choice(len(images), n_copied, replace=False)
    copies = [np.asarray(copy) for i in of for copy in make_copies(Image.fromarray(images[i]).convert("RGB")).values()]
    labels = np.concatenate([true, np.repeat(true[of], len(COPY_KINDS))])
    flipped = rng.choice(len(labels), round(_FLIPPED * len(labels)), replace=False)
    labels[flipped] = (labels[flipped] + rng.integers(1, true.max() + 1, len(flipped))) % (true.max() + 1)
    encoder.transform([*images, *copies])
    started = time.perf_counter()
    audited = audit([*images, *copies], labels, encoder=encoder, verbose=0)
    print(f"{name}: {len(labels):,} rows, {time.perf_counter() - started:.1f} s with known embeddings")
    print(f"  {audited.explanations[0]}")
    groups, source = audited.groups, np.concatenate([np.arange(len(images)), np.repeat(of, len(COPY_KINDS))])
    joined = groups[len(images) :].reshape(-1, len(COPY_KINDS)) == groups[of][:, None]
    for way, share in zip(COPY_KINDS, joined.mean(axis=0), strict=True):
        print(f"  copies {way:15} found {share:.2f}")
    same = np.triu(groups[:, None] == groups, 1)
    print(f"  pairs that are copies          {(same & (source[:, None] == source)).sum() / max(1, same.sum()):.2f}")
    issue = audited.table["suggested_label"].notna().to_numpy()
    hits = issue[flipped].sum()
    print(
        f"  wrong labels           found {hits / len(flipped):.2f}, of {issue.sum()} suspected {hits / issue.sum():.2f}"
    )


def report_outliers(images: np.ndarray, others: np.ndarray, encoder: featx.ImageEncoder) -> None:
    outlier = audit([*images, *others], encoder=encoder, verbose=0).table["outlier"].to_numpy()
    print(f"Fashion-MNIST and {len(others)} crops of photos: {len(outlier):,} rows")
    hits = outlier[len(images) :].sum()
    print(
        f"  outliers               found {hits / len(others):.2f}, of {outlier.sum()} marked {hits / outlier.sum():.2f}"
    )


def report_cosine(images: np.ndarray, encoder: featx.ImageEncoder) -> None:
    """Copies that embeddings miss at a cosine similarity that one image in twenty has to a different one."""
    embedded = unit_rows(encoder.transform(images))
    alike = embedded @ embedded.T
    np.fill_diagonal(alike, -1)
    threshold = np.quantile(alike.max(axis=1), 1 - _FALSE_SHARE)
    copies = [make_copies(Image.fromarray(image).convert("RGB")) for image in images[:: len(images) // _COPIED]]
    print(f"Fashion-MNIST, by the cosine of embeddings from {threshold:.4f} on:")
    for kind in COPY_KINDS:
        made = unit_rows(encoder.transform([np.asarray(copy[kind]) for copy in copies]))
        similar = (made * embedded[:: len(images) // _COPIED]).sum(axis=1)
        print(f"  copies {kind:15} found {(similar >= threshold).mean():.2f}")


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
