"""Frozen VGG-16, global average pooling, a dense layer of 1,024, then the classes: as a Pipeline, and as a network.

    python examples/vgg16_frozen.py                     # Fashion-MNIST where installed, else scikit-learn's digits
    python examples/vgg16_frozen.py photos/ --size 224  # a folder of your own: photos/<label>/*.jpg
    python examples/vgg16_frozen.py --weights random    # without a download: what the architecture alone is worth

The same model twice: scikit-learn's MLPClassifier on cached embeddings, and FineTuneClassifier on a network of which
the dense layer and the classes are tuned and the convolutions are not, so that each image goes through them once. Both
see the same images; their difference, over several draws, should be noise.
"""

from __future__ import annotations

import argparse
import warnings
from collections import OrderedDict
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

import featx
from _draws import draw_splits, score_ways, table_of
from _images import read_images

DENSE, RATE = 1024, 1e-3
PIPELINE, NETWORK = "Pipeline with MLPClassifier", "FineTuneClassifier"
TEST = 0.25


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read_images(arguments.folder, arguments.limit)
    print(f"{len(images):,} images of {source}, a quarter of them to test on, at {arguments.size} x {arguments.size}")
    preprocess = featx.Preprocess(arguments.size, fit="squash")
    frozen = featx.ImageEncoder(
        "vgg16", weights=arguments.weights, layers="features", preprocess=preprocess, cache=arguments.cache
    )
    ways = {
        PIPELINE: make_pipeline(
            frozen, MLPClassifier([DENSE], batch_size=32, learning_rate_init=RATE, max_iter=arguments.epochs, tol=0)
        ),
        NETWORK: featx.FineTuneClassifier(
            featx.ImageEncoder(with_dense_layer(arguments.weights, preprocess), cache=arguments.cache),
            unfreeze="dense",
            head_init="random",
            learning_rate=RATE,
            layer_decay=1.0,
            max_epochs=arguments.epochs,
        ),
    }
    warnings.simplefilter("ignore", ConvergenceWarning)  # as many epochs as asked for, no more
    scores, seconds = score_ways(ways, images, labels, draw_splits(labels, arguments.draws, test_size=TEST))
    print(table_of(scores, seconds, baseline=PIPELINE, shared=TEST / (1 - TEST)).to_string(index=False))


def with_dense_layer(weights: str, preprocess: featx.Preprocess) -> featx.Encoder:
    """VGG-16's convolutions, their mean over the image, a dense layer and one for the classes with random weights."""
    import torch
    from torch import nn
    from torchvision.models import VGG16_Weights, vgg16

    torch.manual_seed(0)  # also what ImageEncoder(weights="random") draws them by
    vgg = vgg16(weights=None if weights == "random" else VGG16_Weights.DEFAULT)
    layers = {
        "features": vgg.features,
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "dense": nn.Linear(512, DENSE),
        "relu": nn.ReLU(),
        "classes": nn.Linear(DENSE, 10),  # replaced by as many as there are
    }
    return featx.Encoder.from_module(nn.Sequential(OrderedDict(layers)), preprocess=preprocess, name="vgg16-dense")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument(
        "--weights", default="default", choices=["default", "random"], help="default: torchvision's own"
    )
    parser.add_argument("--limit", type=int, default=1000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="side that images are squashed to (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
