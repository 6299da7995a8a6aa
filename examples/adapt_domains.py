"""Digits that a font draws have labels for nothing: do they read scanned handwriting, and does domain adaptation help?

    python examples/adapt_domains.py                     # pip install ".[adapt,plot]"
    python examples/adapt_domains.py --limit 300         # fewer images, sooner
    python examples/adapt_domains.py --chart adapt.png   # and a picture: accuracies with their intervals

Source: digits in the twelve DejaVu faces that come with matplotlib, of several sizes, turned and moved a little, and
reduced to 8 x 8 as the scans were. Target: scikit-learn's digits, scanned handwriting; its labels judge, and train the
oracle alone. It prints a row for each method: source only, per-domain standardisation, CORAL, subspace alignment,
optimal transport, domain-adversarial training and deep CORAL, each tuned without target labels, and the oracle; then
what a few labels of the target do alone, without any source, on the same scans; then a verdict.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.adapt import adaptation_report

FACES = ("Sans", "SansMono", "Serif")
METHODS = ("standardize", "coral", "subspace", "ot", "dann", "deepcoral")
CANVAS, BITMAP, SIDE = 48, 32, 8
LABELS = (20, 50, 100)
SHOWN = ["accuracy", "low", "high", "difference", "difference_low", "difference_high", "parameter"]


def main() -> None:
    arguments = parse_arguments()
    fonts = find_fonts()
    rendered, ys = render_digits(arguments.limit, fonts)
    scanned, yt = read_scans(arguments.limit)
    print(f"source: {len(rendered)} digits rendered from {len(fonts)} fonts; target: {len(scanned)} scanned digits")
    encoder = featx.ImageEncoder(arguments.encoder, preprocess="squash", cache=arguments.cache)
    options = {"methods": arguments.methods, "scorer": arguments.scorer, "cv": arguments.cv}
    report = adaptation_report(rendered, ys, scanned, yt, encoder=encoder, **options)
    print(report.summary[SHOWN].round(3).to_string(na_rep=""))
    for n, accuracy in learn_few(encoder.transform(scanned), yt, arguments.cv):
        print(f"{n} labels of the target alone: {accuracy:.3f}")
    print(report.summary[["unsupervised_score", "proxy_a", "seconds"]].round(2).to_string(na_rep=""))
    print(f"proxy A-distance before: {report.proxy_a.distance:.2f} (p = {report.proxy_a.p_value:.3g})")
    print(f"adaptation {report.verdict}")
    if arguments.chart:
        report.plot().figure.savefig(arguments.chart, dpi=120, bbox_inches="tight")
        print(f"saved {arguments.chart}")


def learn_few(Z: np.ndarray, y: np.ndarray, cv: int) -> Iterator[tuple[int, float]]:
    """Accuracy with n labelled scans and nothing else, mean of ten times all folds: each scan is tested, as above."""
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = list(KFold(cv, shuffle=True, random_state=0).split(Z))
    for n in LABELS:
        if n > min(len(train) for train, _ in folds):
            return
        random, scores = np.random.default_rng(0), []
        for train, test in 10 * folds:
            few = random.choice(train, n, replace=False)
            scores.append(head.fit(Z[few], y[few]).score(Z[test], y[test]))
        yield n, float(np.mean(scores))


def find_fonts() -> list[Path]:
    """DejaVu's text faces, as matplotlib ships them."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(
        path for face in FACES for path in (folder / f"DejaVu{face}.ttf", *folder.glob(f"DejaVu{face}-*.ttf"))
    )


def render_digits(n: int, fonts: list[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """n digits, as many of each, every one drawn differently."""
    random = np.random.default_rng(0)
    digits = random.permutation(np.arange(n) % 10)
    return [render(str(digit), fonts[random.integers(len(fonts))], random) for digit in digits], digits


def render(digit: str, font: Path, random: np.random.Generator) -> np.ndarray:
    """One digit: cut out and brought to 32 x 32, then averaged in blocks of 4 x 4, as the scans were."""
    drawn = Image.new("L", (CANVAS, CANVAS))
    place = tuple(CANVAS / 2 + random.uniform(-2, 2, 2))
    face = ImageFont.truetype(str(font), int(random.integers(26, 38)))
    ImageDraw.Draw(drawn).text(place, digit, fill=255, font=face, anchor="mm")
    drawn = drawn.rotate(random.uniform(-12, 12), Image.Resampling.BILINEAR)
    bitmap = drawn.crop(drawn.getbbox()).resize((BITMAP, BITMAP))
    return np.asarray(bitmap.resize((SIDE, SIDE), Image.Resampling.BOX))


def read_scans(n: int) -> tuple[list[np.ndarray], np.ndarray]:
    scans = load_digits()
    chosen = np.random.default_rng(0).permutation(len(scans.target))[:n]
    return list((scans.images[chosen] * 255 / 16).astype(np.uint8)), scans.target[chosen]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, default=1000, help="images of each domain (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="beside the source alone (default: all)")
    parser.add_argument("--cv", type=int, default=5, help="folds, 3 or more (default: %(default)s)")
    parser.add_argument("--scorer", default="circular", help="what tunes without target labels (default: %(default)s)")
    parser.add_argument("--cache", default="cache", help="folder of the embeddings (default: %(default)s)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the methods' accuracies")
    return parser.parse_args()


if __name__ == "__main__":
    main()
