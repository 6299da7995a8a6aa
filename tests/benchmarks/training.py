"""Images a second of fine-tuning all layers, beside a plain torch loop over the same images in memory."""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from featx import ImageEncoder, Preprocess
from featx.encoders import resolve
from featx.finetune import FineTuneClassifier

N_CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("-n", type=int, default=320, help="images (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--runs", type=int, default=3, help="of both, in turns; two epochs each")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (arguments.n, arguments.size, arguments.size, 3), dtype=np.uint8)
    labels = np.arange(arguments.n) % N_CLASSES
    seconds: dict[str, list[float]] = {"featx": [], "plain loop": []}
    for _ in range(arguments.runs):
        seconds["featx"].append(ours(arguments, images, labels))
        seconds["plain loop"].append(plain(arguments, images, labels))
    rates = {name: arguments.n / statistics.median(values) for name, values in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:10} {rate:8.1f} images/s")
    print(f"featx is {rates['featx'] / rates['plain loop']:.2f} times as fast as the plain loop")


def ours(arguments: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> float:
    """Seconds of an epoch, the second of two."""
    model = FineTuneClassifier(
        ImageEncoder(
            arguments.encoder,
            weights=arguments.weights,
            preprocess=Preprocess(arguments.size, fit="squash"),
            cache=False,
            verbose=0,
        ),
        unfreeze="all",
        head_init="random",
        max_epochs=2,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        verbose=0,
    )
    return model.fit(images, labels).history_["seconds"].iloc[-1]


def plain(arguments: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> float:
    """What a torch tutorial does: a DataLoader, the default precision, and no word on memory formats."""
    (spec,) = resolve(arguments.encoder, weights=arguments.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = spec.build().eval()
    network.set_submodule(spec.classifier, torch.nn.Linear(spec.dim, N_CLASSES))
    network.to(device)
    mean, std = (
        255 * torch.tensor(v, device=device).view(3, 1, 1) for v in (spec.preprocess.mean, spec.preprocess.std)
    )
    data = TensorDataset(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4)
    for _ in range(2):
        started = time.perf_counter()
        for batch, y in DataLoader(data, arguments.batch_size, shuffle=True):
            x = (batch.to(device).float() - mean) / std
            with torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
                loss = torch.nn.functional.cross_entropy(network(x).float(), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
