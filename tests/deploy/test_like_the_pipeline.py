"""A bundle answers as the Pipeline does whatever a table holds, or refuses the row: it never answers otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

import featx
from featx.deploy._columns import read_columns
from featx.exceptions import FallbackWarning

MISSING = {
    "nothing": ["a", "b", "a", "c"],
    "None": ["a", "b", None, "a"],
    "NaN": ["a", "b", np.nan, "a"],
    "NaN and 'nan'": ["a", "nan", np.nan, "a"],
}
CODES = {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -2}
ENCODERS: dict[str, Callable] = {
    "one-hot": OneHotEncoder,
    "one-hot, ignore": lambda: OneHotEncoder(handle_unknown="ignore"),
    "ordinal, codes": lambda: OrdinalEncoder(**CODES),
    "target": lambda: TargetEncoder(random_state=0),
    "imputed": lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
    "None imputed": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=None), OneHotEncoder(handle_unknown="ignore")
    ),
}
ODD = [None, np.nan, pd.NA, "nan", "None", "", "new", 1, 1.5, True, "a"]
IN_ONNX = ("one-hot", "one-hot, ignore", "ordinal, codes")


def fitted(
    columns: dict[str, tuple[Callable, pd.Series]], tiny, crops, places, folder
) -> tuple[Pipeline, pd.DataFrame]:
    """A pipeline of a photo and an encoder for each column, and the table that it was fitted on."""
    table = pd.DataFrame({"photo": crops, **{name: column for name, (_, column) in columns.items()}})
    transformers = [(make(), [name]) for name, (make, _) in columns.items()]
    encoder = featx.ImageEncoder(tiny, cache=str(folder / "store"), verbose=0)
    model = make_pipeline(make_column_transformer((encoder, "photo"), *transformers), LogisticRegression(max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on classes and categories
        return model.fit(table, places), table


def quietly(ask: Callable) -> np.ndarray | None:
    """An answer, or None where there is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on unknown categories
        try:
            return ask()
        except (ValueError, TypeError):  # featx's own errors are among them
            return None


def check_rows(model, predictor, table) -> None:
    columns = read_columns(table, predictor.manifest["inputs"])
    outputs, reasons, unusable = predictor.run(columns, ["probabilities"])
    told = table.drop(columns="photo").to_dict("records")  # to print a photo takes longer than to predict
    for row in range(len(table)):
        expected = quietly(lambda row=row: model.predict_proba(table.iloc[[row]]))
        assert (row in unusable) == (expected is None), (told[row], reasons.get(row))
        if expected is not None:
            np.testing.assert_allclose(outputs["probabilities"][[row]], expected, atol=2e-4, err_msg=str(told[row]))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_missing_category_is_what_it_is_to_the_pipeline(encoder, tiny, crops, places, tmp_path):
    columns = {
        missing: (ENCODERS[encoder], pd.Series(values * 10, dtype=object))
        for missing, values in MISSING.items()
        # An imputer of None refuses NaN, and text that looks like a missing value keeps a head out of ONNX.
        if (encoder != "None imputed" or np.nan not in values) and (encoder not in IN_ONNX or "'" not in missing)
    }
    model, table = fitted(columns, tiny, crops, places, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        bundle = featx.export_bundle(model, tmp_path / "bundle")
    assert bundle.manifest["head"] == ("onnx" if encoder in IN_ONNX else "sklearn")
    odd = [table.iloc[0].to_dict() | {name: value} for name in columns for value in ODD]
    check_rows(model, featx.Predictor(bundle), pd.DataFrame(odd).astype(dict.fromkeys(columns, object)))
