"""The main job: from images to a fitted, scored and saved scikit-learn Pipeline.

    python examples/quickstart.py                   # patches of 14 photos that come with scikit-image
    python examples/quickstart.py photos/           # a folder of your own: photos/<label>/*.jpg
    python examples/quickstart.py --digits          # scikit-learn's scanned digits, where transfer hurts

It prints cross-validated accuracy with transfer (a pretrained encoder) and without (raw pixels, the same head), how
long the first and the second encoding took, and saves a picture: the confusion matrix, with the most confidently wrong
images beside it. A patch is to be assigned to its photo; each fold tests one quarter of every photo on the other three,
so no patch has a neighbor of its own quarter in training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import featx

RAW_SIZE = 16
N_WRONG = 8
SIDE, PER_QUARTER = 48, 12
# What a photo shows -> scikit-image's function; the files come with the package.
PHOTOS = {
    "astronaut": "astronaut",
    "brick": "brick",
    "cameraman": "camera",
    "cat": "cat",
    "coffee": "coffee",
    "coins": "coins",
    "galaxies": "hubble_deep_field",
    "grass": "grass",
    "gravel": "gravel",
    "moon": "moon",
    "motorcycle": "stereo_motorcycle",
    "retina": "retina",
    "rocket": "rocket",
    "tissue": "immunohistochemistry",
}


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        write = write_digits if arguments.digits else write_patches
        photos = featx.read_image_folder(arguments.folder or write(Path(scratch)))
        if not (arguments.folder or arguments.digits):
            photos["quarter"] = [Path(image).stem.partition("-")[0] for image in photos["image"]]
        if arguments.limit:
            photos = photos.sample(min(arguments.limit, len(photos)), random_state=0).reset_index(drop=True)
        report(photos, arguments)


def report(photos: pd.DataFrame, arguments: argparse.Namespace) -> None:
    images, labels = photos["image"], photos["label"]
    folds = make_folds(photos)
    print(f"{len(photos)} images, {labels.nunique()} classes, {len(folds)}-fold cross-validation")

    model = featx.image_pipeline("logistic", encoder=arguments.encoder, cache=arguments.cache)
    first = time_encoding(model.named_steps["encoder"], images)
    second = time_encoding(model.named_steps["encoder"], images)
    raw = make_pipeline(FunctionTransformer(raw_pixels), *(clone(step) for _, step in model.steps[1:]))

    probabilities = cross_val_predict(model, images, labels, cv=folds, method="predict_proba")
    classes = np.unique(labels)
    predicted = classes[probabilities.argmax(axis=1)]
    without = cross_val_predict(raw, images, labels, cv=folds)
    print(f"accuracy with transfer ({arguments.encoder}):  {accuracy(labels, predicted)}")
    print(f"accuracy without (raw {RAW_SIZE}x{RAW_SIZE} pixels):          {accuracy(labels, without)}")
    print(verdict(np.asarray(labels == predicted), np.asarray(labels == without)))
    print(f"encoding: first run {first:.2f} s, second run {second:.3f} s (from {arguments.cache}/)")

    joblib.dump(model.fit(images, labels), arguments.model)
    reloaded = joblib.load(arguments.model)
    print(f"saved {arguments.model} ({arguments.model.stat().st_size / 1024:.0f} kB); the reloaded model says", end=" ")
    print(f"{reloaded.predict(images[:1])[0]!r} for {Path(images.iloc[0]).name}, which is {labels.iloc[0]!r}")
    draw(photos, predicted, probabilities.max(axis=1), arguments.picture)
    print(f"saved {arguments.picture}")


def make_folds(photos: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split by quarters where there are any, else at random with each class's share."""
    if "quarter" in photos:
        return list(LeaveOneGroupOut().split(photos, photos["label"], photos["quarter"]))
    splitter = StratifiedKFold(min(5, photos["label"].value_counts().min()), shuffle=True, random_state=0)
    return list(splitter.split(photos, photos["label"]))


def time_encoding(encoder: featx.ImageEncoder, images: pd.Series) -> float:
    started = time.perf_counter()
    encoder.transform(images)
    return time.perf_counter() - started


def raw_pixels(images: pd.Series) -> np.ndarray:
    """What the same head gets without transfer: every image as a small square of pixels."""
    small = featx.Preprocess(RAW_SIZE, fit="squash")
    return np.stack([small(Image.open(path).convert("RGB")).ravel() / 255 for path in images])


def accuracy(labels: pd.Series, predicted: np.ndarray) -> str:
    """Accuracy with its binomial standard error."""
    share = np.mean(labels == predicted)
    return f"{share:.3f} +- {np.sqrt(share * (1 - share) / len(labels)):.3f}"


def verdict(with_transfer: np.ndarray, without: np.ndarray) -> str:
    """Whether transfer helps, from the paired difference of right answers and its standard error."""
    difference = with_transfer.astype(float) - without
    gain, error = 100 * difference.mean(), 100 * difference.std() / np.sqrt(len(difference))
    word = "helps" if gain > 2 * error else "hurts" if gain < -2 * error else "makes no clear difference"
    return f"transfer {word} here: {gain:+.1f} +- {error:.1f} points"


def draw(photos: pd.DataFrame, predicted: np.ndarray, confidence: np.ndarray, path: Path) -> None:
    """The confusion matrix, and beside it the images that are most confidently wrong."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    axes = left.subplots()
    display = ConfusionMatrixDisplay.from_predictions(
        photos["label"], predicted, ax=axes, cmap="Blues", colorbar=False, xticks_rotation="vertical"
    )
    display.ax_.set_title("Confusion matrix, cross-validated")
    wrong = np.flatnonzero(photos["label"] != predicted)
    worst = wrong[np.argsort(-confidence[wrong])][:N_WRONG]
    right.suptitle("Most confidently wrong" if len(worst) else "No image is classified wrongly")
    for axes in right.subplots(2, N_WRONG // 2).ravel():
        axes.axis("off")
    for axes, i in zip(right.axes, worst, strict=False):
        axes.imshow(Image.open(photos["image"].iloc[i]).convert("RGB"))
        axes.set_title(f"{photos['label'].iloc[i]} taken for\n{predicted[i]} ({confidence[i]:.0%})", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_patches(folder: Path) -> Path:
    """Write patches of the photos that come with scikit-image, a folder for each photo: ``<quarter>-<number>.png``."""
    from skimage import data

    for name, function in PHOTOS.items():
        photo = getattr(data, function)()
        photo = photo[0] if isinstance(photo, tuple) else photo  # the left one of a stereo pair
        (folder / name).mkdir()
        height, width = (length // 2 for length in photo.shape[:2])
        for quarter in range(4):
            top, left = quarter // 2 * height, quarter % 2 * width
            corners = [(y, x) for y in range(0, height - SIDE + 1, SIDE) for x in range(0, width - SIDE + 1, SIDE)]
            chosen = np.random.default_rng(quarter).permutation(len(corners))[:PER_QUARTER]
            for number, (y, x) in enumerate(corners[i] for i in chosen):
                patch = photo[top + y : top + y + SIDE, left + x : left + x + SIDE]
                Image.fromarray(patch).save(folder / name / f"{quarter}-{number:02}.png")
    return folder


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's 1,797 scanned digits as PNG files, a folder for each digit."""
    digits = load_digits()
    for i, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(digit)).mkdir(exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(folder / str(digit) / f"{i:04}.png")
    return folder


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="photos/<label>/*.jpg; default: patches of photos")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's digits, where transfer hurts")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, help="use so many images only")
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    parser.add_argument("--model", type=Path, default=Path("cache/quickstart.joblib"))
    parser.add_argument("--picture", type=Path, default=Path("cache/quickstart.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
