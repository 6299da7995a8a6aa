"""Which layers to share with the pretrained network: where the features are taken, and where tuning begins.

    python examples/shared_layers.py                # Fashion-MNIST where installed, else scikit-learn's digits
    python examples/shared_layers.py photos/        # a folder of your own: photos/<label>/*.jpg

First the frozen network cut at its portable layers, "early" to its own feature: a logistic regression on what each
gives. Then more and more of it tuned: the head alone, the last block, the last three, all. Intervals (95 %) are over
draws of training images; each way sees the same ones, and the same test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx
from _draws import draw_splits, score_ways, table_of
from _images import read_images

LAYERS = {"early": "early", "middle": "middle", "late": "late", "last": "last", "feature": None}
BASELINE = "feature, frozen"
TEST = 0.25


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read_images(arguments.folder, arguments.limit)
    print(f"{len(images):,} images of {source}, a quarter of them to test on, at {arguments.size} x {arguments.size}")
    # Small square images are better squashed than cropped.
    given = {"preprocess": featx.Preprocess(arguments.size, fit="squash"), "cache": arguments.cache}
    ways = {f"{name}, frozen": featx.image_pipeline("logistic", layers=node, **given) for name, node in LAYERS.items()}
    for unfreeze in ("head", "last_block", 3, "all"):
        ways[f"unfreeze={unfreeze!r}"] = featx.FineTuneClassifier(
            featx.ImageEncoder(**given), unfreeze=unfreeze, max_epochs=arguments.epochs
        )
    scores, seconds = score_ways(ways, images, labels, draw_splits(labels, arguments.draws, test_size=TEST))
    print(table_of(scores, seconds, baseline=BASELINE, shared=TEST / (1 - TEST)).to_string(index=False))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument("--limit", type=int, default=1000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side that images are squashed to (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
