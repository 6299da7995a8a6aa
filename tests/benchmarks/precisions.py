"""What each precision costs and gains here: how far embeddings move, by kind of image and layer, and labels.

``--int8`` compares int8 with float32 and with the nearest integers for weights on Fashion-MNIST, and ``--layers`` lists
how many layers have to stay in float32 for a relative L2 below 0.02 from bfloat16, emulated. ``--stored`` says what
``EmbeddingStore(dtype="float16")`` rounds.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_images
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import featx
from featx._image_encoder import extraction_of
from featx.encoders import GraphEncoder
from featx.exceptions import DeviceError
from featx.extraction import decode_some, network_rate
from featx.precision import import_nncf, quantize_graph
from featx.runtimes import graphs_folder, load_graph, write_graph
from tests.benchmarks.fashion import DATA, read_fashion

NEAR = 0.02
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


def stored() -> pd.DataFrame:
    """What ``EmbeddingStore(dtype="float16")`` changes in an embedding: relative L2 and cosine, by kind of image."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = featx.EmbeddingStore(folder, dtype="float16")
        for kind, images in kinds().items():
            exact = featx.ImageEncoder(cache=False, verbose=0).transform(images).astype(float)
            kept = store.round(exact.astype(np.float32)).astype(float)
            lengths = np.linalg.norm(exact, axis=1)
            l2 = np.linalg.norm(kept - exact, axis=1) / lengths
            apart = 1 - np.sum(kept * exact, axis=1) / lengths / np.linalg.norm(kept, axis=1)
            rows.append((kind, len(images), np.median(l2), l2.max(), apart.max(), np.abs(exact).max()))
    return pd.DataFrame(rows, columns=["images", "n", "relative_l2", "worst", "1 - worst cosine", "largest number"])


def mixed() -> pd.DataFrame:
    """How many of a network's layers bfloat16 has to leave in float32, for a relative L2 below 0.02; emulated."""
    rows = []
    for kind, images in kinds().items():
        table = featx.precision_by_layer(images)
        kept = int(np.argmax(table["rest"] < NEAR)) + 1
        share = table["multiply_adds"].iloc[:kept].sum()
        rows.append((kind, table.attrs["all"], ", ".join(table.index[:2]), table["rest"].iloc[1], kept, share))
    columns = ["images", "all in bfloat16", "costliest two", "without these", f"left out for {NEAR}", "multiply_adds"]
    return pd.DataFrame(rows, columns=columns)


def int8(name: str, images: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Distance, points of accuracy lost to float32 on the same folds with their standard error, and speed."""
    base = featx.ImageEncoder(name, preprocess="squash", cache=False, verbose=0)
    with_graph = {"cache": False, "verbose": 0, "preprocess": "squash"}
    encoders = {
        "float32": base,
        "int8, nearest": featx.ImageEncoder(nearest(base, images), **with_graph),
        "int8": featx.ImageEncoder(featx.quantize_encoder(base, images), **with_graph),
    }
    embeddings = {kind: encoder.transform(images) for kind, encoder in encoders.items()}
    pixels = np.stack(decode_some(extraction_of(base).spec, images))
    runtimes = [extraction_of(encoder).runtime() for encoder in encoders.values()]  # held, so that each loads once
    n_threads = extraction_of(base).options.n_threads
    runs = [[network_rate(runtime, pixels, n_threads) for runtime in runtimes] for _ in range(11)]
    rates = np.median(np.divide(runs[1:], np.asarray(runs[1:])[:, :1]), axis=0)
    lengths = np.linalg.norm(embeddings["float32"], axis=1)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    right, rows = {}, []
    for (kind, rows_of), rate in zip(embeddings.items(), rates, strict=True):
        right[kind] = cross_val_predict(featx.image_pipeline("logistic")[1:], rows_of, labels, cv=folds) == labels
        lost = 100 * (right["float32"].astype(float) - right[kind])
        l2 = np.median(np.linalg.norm(rows_of - embeddings["float32"], axis=1) / lengths)
        rows.append((name, kind, l2, 100 * right[kind].mean(), lost.mean(), lost.std() / len(lost) ** 0.5, rate))
    columns = ["encoder", "precision", "relative_l2", "accuracy", "points_lost", "standard_error", "times_float32"]
    return pd.DataFrame(rows, columns=columns)


def nearest(base: featx.ImageEncoder, images: np.ndarray) -> GraphEncoder:
    """Int8 as NNCF leaves it: the nearest integers, with biases corrected."""
    specs = extraction_of(base).specs
    feeds = [image[None] for image in decode_some(specs[0], images)]
    graph = quantize_graph(import_nncf("this benchmark"), load_graph(specs), feeds)
    file, digest = write_graph(graphs_folder() / "nearest", graph, name_by_content=True)
    own = replace(specs[0], name=f"{specs[0].name}-nearest", weights=f"int8:{digest}")
    return GraphEncoder(file, digest, own, graph.outputs[0].get_partial_shape()[1].get_length())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="of Fashion-MNIST; 0: none")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--int8", nargs="*", metavar="ENCODER", help="compare int8 with float32, and nothing else")
    parser.add_argument("--layers", action="store_true", help="emulate bfloat16 by layer, and nothing else")
    parser.add_argument("--stored", action="store_true", help="round as a store of float16 does, and nothing else")
    arguments = parser.parse_args()
    if arguments.stored:
        print(stored().to_string(index=False, float_format="{:.3g}".format))
        return
    if arguments.layers:
        print(mixed().to_string(index=False, float_format="{:.3f}".format))
        return
    if arguments.int8 is not None:
        images, labels = (part[: arguments.images] for part in read_fashion(arguments.data))
        tables = [int8(name, images, labels) for name in arguments.int8 or ["efficientnet_lite0"]]
        print(pd.concat(tables).to_string(index=False, float_format="{:.3f}".format))
        return
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
