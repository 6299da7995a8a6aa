"""An encoder adapted to one's own images without their labels, by self-supervised training: did it help?

    pip install ".[self-supervised]"
    python examples/self_supervised.py              # Fashion-MNIST where installed, else scikit-learn's digits
    python examples/self_supervised.py photos/      # a folder of your own: photos/<label>/*.jpg
    python examples/self_supervised.py --start small --epochs 50    # a small network from random weights instead

Two random views of each image should get near embeddings that do not collapse: VICReg (Bardes et al. 2022,
arXiv:2105.04906), of the library lightly. Labels only judge: a logistic regression on the embeddings before and after,
from few labels and from many, over draws of the labelled images, on images that the training did not see.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from PIL import Image
from sklearn.model_selection import train_test_split
from torchvision.transforms import v2

import featx
from _draws import draw_splits, score_ways, table_of, verdict
from _images import read_images
from featx.encoders import resolve
from featx.finetune import small_encoder

BEFORE, AFTER = "before", "after"


def main() -> None:
    arguments = parse_arguments()
    images, labels, source = read_images(arguments.folder, arguments.limit)
    rows, test = train_test_split(np.arange(len(labels)), test_size=0.5, random_state=0, stratify=labels)
    before = start(arguments)
    began = time.perf_counter()
    after = adapt(before, [images[i] for i in rows], arguments)
    print(f"{len(rows):,} images of {source} without labels, {time.perf_counter() - began:.0f} s of training")
    ways = {
        name: featx.image_pipeline("logistic", encoder=encoder, cache=arguments.cache, verbose=0)
        for name, encoder in {BEFORE: before, AFTER: after}.items()
    }
    for n in arguments.labels:
        draws = draw_splits(labels[rows], arguments.draws, train_size=n)
        scores, seconds = score_ways(ways, images, labels, [(rows[labelled], test) for labelled, _ in draws])
        print(f"\n{n:,} labels, {len(test):,} test images")
        shared = n / (len(rows) - n)
        print(table_of(scores, seconds, BEFORE, shared).to_string(index=False))
        print(verdict(scores, AFTER, BEFORE, shared))


def start(arguments: argparse.Namespace) -> featx.Encoder:
    """The network to adapt: a pretrained one, or a small one with random weights."""
    if arguments.start == "small":
        return small_encoder(arguments.size)
    (spec,) = resolve(arguments.start)
    preprocess = featx.Preprocess(arguments.size, fit="squash", mean=spec.preprocess.mean, std=spec.preprocess.std)
    return featx.Encoder.from_module(spec.build(), preprocess=preprocess, name=arguments.start)


def adapt(encoder: featx.Encoder, images: list[Image.Image], arguments: argparse.Namespace) -> featx.Encoder:
    """Train a copy of its network on pairs of views."""
    torch.manual_seed(0)
    network = copy.deepcopy(encoder.module).train().requires_grad_(True)
    if encoder.classifier:
        network.set_submodule(encoder.classifier, torch.nn.Identity())
    projection = VICRegProjectionHead(encoder.dim, 512, 512)
    optimiser = torch.optim.AdamW([*network.parameters(), *projection.parameters()], arguments.rate, weight_decay=0.01)
    steps = arguments.epochs * (len(images) // arguments.batch)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, arguments.rate, total_steps=max(steps, 1))
    loss_of = VICRegLoss()
    for one, other in views(images, encoder.preprocess, arguments):
        loss = loss_of(*(projection(network(view)) for view in (one, other)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    return featx.Encoder.from_module(network, preprocess=encoder.preprocess, name=f"{encoder.name}-adapted")


def views(images: list[Image.Image], preprocess: featx.Preprocess, arguments: argparse.Namespace) -> Iterator[tuple]:
    """Batches of two views, normalised."""
    pixels = torch.stack([torch.tensor(preprocess(image.convert("RGB"))).permute(2, 0, 1) for image in images])
    change = v2.Compose(
        [
            v2.RandomResizedCrop(preprocess.size, scale=(0.4, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4, contrast=0.4),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocess.mean, preprocess.std),
        ]
    )
    for _ in range(arguments.epochs):
        order = torch.randperm(len(pixels))
        for first in range(0, len(order) - arguments.batch + 1, arguments.batch):
            batch = pixels[order[first : first + arguments.batch]]
            both = (torch.stack([change(image) for image in batch]) for _ in range(2))
            yield tuple(view.contiguous(memory_format=torch.channels_last) for view in both)  # faster on any device


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg")
    parser.add_argument("--start", default="efficientnet_lite0", help='encoder, or "small" (default: %(default)s)')
    parser.add_argument("--limit", type=int, default=4000, help="use so many images only (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="side that images are squashed to (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-4, help="the largest learning rate (default: %(default)s)")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
