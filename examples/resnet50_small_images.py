"""An ImageNet ResNet-50 on 32 x 32 images: its last layer replaced, the rest frozen against tuned.

    python examples/resnet50_small_images.py --cifar folder     # CIFAR-10, which torchvision downloads into it
    python examples/resnet50_small_images.py photos/            # a folder of your own: photos/<label>/*.jpg
    python examples/resnet50_small_images.py                    # Fashion-MNIST where installed, else digits
    python examples/resnet50_small_images.py --encoder efficientnet_lite0   # whose weights need no download

Images of 32 x 32 are far from what the network was trained on: they are tried as they are, and enlarged to --size. The
frozen network gets a new last layer (logistic regression), then its last block is tuned with it. Intervals (95 %) are
over draws of training images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import featx
from _draws import draw_splits, score_ways, table_of, verdict
from _images import read_images

SIDE = 32
TEST = 0.25


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read(arguments)
    print(f"{arguments.encoder}: {len(images):,} images of {source}, a quarter of them to test on")
    ways = {}
    for size in (SIDE, arguments.size):
        preprocess = featx.Preprocess(size, fit="squash")
        given = {"preprocess": preprocess, "cache": arguments.cache, "weights": arguments.weights}
        ways[f"{size} px, frozen"] = featx.image_pipeline("logistic", encoder=arguments.encoder, **given)
        ways[f"{size} px, tuned"] = featx.FineTuneClassifier(
            featx.ImageEncoder(arguments.encoder, **given), max_epochs=arguments.epochs
        )
    scores, seconds = score_ways(ways, images, labels, draw_splits(labels, arguments.draws, test_size=TEST))
    frozen, tuned = (f"{arguments.size} px, {kind}" for kind in ("frozen", "tuned"))
    print(table_of(scores, seconds, baseline=frozen, shared=TEST / (1 - TEST)).to_string(index=False))
    print(verdict(scores, tuned, frozen, shared=TEST / (1 - TEST)))


def read(arguments: argparse.Namespace) -> tuple[list[Image.Image], np.ndarray, str]:
    """Images of 32 x 32, their labels, and where they come from."""
    if arguments.cifar:
        from torchvision.datasets import CIFAR10

        data = CIFAR10(arguments.cifar, train=False, download=True)
        chosen = np.random.default_rng(0).permutation(len(data.data))[: arguments.limit]
        images, source = [Image.fromarray(data.data[i]) for i in chosen], "CIFAR-10"
        return images, np.array(data.classes)[np.array(data.targets)[chosen]], source
    images, labels, source = read_images(arguments.folder, arguments.limit)
    return [image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in images], labels, source


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument(
        "--cifar", type=Path, metavar="FOLDER", help="of CIFAR-10; downloaded into it where it is empty"
    )
    parser.add_argument("--encoder", default="resnet50")
    parser.add_argument("--weights", default="default", choices=["default", "random"])
    parser.add_argument("--limit", type=int, default=1000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--size", type=int, default=96, help="side that they are enlarged to (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
