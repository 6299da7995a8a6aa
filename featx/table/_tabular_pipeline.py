"""tabular_pipeline: a table with columns of images and an estimator, as a plain scikit-learn Pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import TransformedTargetRegressor

from featx._image_encoder import ImageEncoder
from featx._pipeline import request_metadata
from featx._validate import check_choice
from featx.encoders import Encoder
from featx.exceptions import ParameterError
from featx.table._table_encoder import COMPONENTS, TableEncoder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TARGETS = ("identity", "log")


def tabular_pipeline(
    estimator: BaseEstimator,
    *,
    image: str | Sequence[str],
    reduce: Any = COMPONENTS,
    weight: float | str = "auto",
    target: str = "identity",
    encoder: str | Encoder = "efficientnet_lite0",
    **encoder_parameters: Any,
) -> Pipeline:
    """Build a Pipeline from a table with columns of images to predictions.

    Its steps are always named ``features``, a `TableEncoder`, and ``head``.

    Parameters
    ----------
    estimator : estimator
        A classifier or a regressor, such as Ridge, `featx.heads.LogisticRegression`, HistGradientBoostingClassifier or
        LightGBM's; it is cloned.
    image : str or list of str
        The columns of images; the others are numbers, categories, dates and texts, as skrub's ``TableVectorizer``
        takes them.
    reduce : int, transformer or None, default=30
        Number of principal components of an embedding, as for `TableEncoder`.
    weight : float or "auto", default="auto"
        The weight of each image column beside the others, as for `TableEncoder`. ``"auto"`` fits the estimator some 80
        times more, on parts of the rows; 20 times if it ignores the scale of columns, as trees do.
    target : {"identity", "log"}, default="identity"
        ``"log"``: numbers are predicted by their logarithm, log(1 + y), for prices and amounts. The head is a
        TransformedTargetRegressor then, and the estimator's own parameters are ``head__regressor__...``.
    encoder : str or Encoder, default="efficientnet_lite0"
        As for `ImageEncoder`.
    **encoder_parameters
        Further parameters of `ImageEncoder`. ``on_missing`` is ``"nan"`` by default: a photo may be missing from a
        table, but one that cannot be read is an error, unless ``on_error="nan"``.

    Returns
    -------
    sklearn.pipeline.Pipeline
        An unfitted pipeline. It takes a pandas or polars DataFrame.

    Raises
    ------
    ParameterError
        If the estimator is none, or a classifier with ``target="log"``, or a parameter is not accepted.

    Notes
    -----
    Weights are chosen for the estimator as it is given here, ``features__estimator``: a grid over ``head__alpha`` does
    not choose them again for each alpha.

    With ``sklearn.set_config(enable_metadata_routing=True)`` weights are chosen in folds of the groups that
    ``cross_val_score(model, X, y, cv=GroupKFold(), params={"groups": groups})`` is given; without groups, in folds of
    clusters of look-alikes. ``sample_weight`` reaches the head, where it takes one, and not the choice of weights.
    Name a scorer there with ``target="log"``, ``scoring="r2"``: scikit-learn's own ``Pipeline.score`` does not get past
    a TransformedTargetRegressor.

    Examples
    --------
    >>> import featx
    >>> from sklearn.linear_model import Ridge
    >>> model = featx.tabular_pipeline(Ridge(), image="photo", target="log")
    >>> list(model.named_steps), type(model[-1]).__name__
    (['features', 'head'], 'TransformedTargetRegressor')
    """
    from sklearn.pipeline import Pipeline

    check_choice("target", target, TARGETS)
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params") or isinstance(estimator, type):
        raise ParameterError(f"Got estimator={estimator!r}. Expected a scikit-learn estimator (an instance).")
    head = clone(estimator)
    if target == "log":
        if is_classifier(head):
            raise ParameterError(f"Got target='log' with {type(head).__name__}. Expected a regressor.")
        head = TransformedTargetRegressor(head, func=np.log1p, inverse_func=np.expm1)
    encoder_parameters = {"on_missing": "nan", **encoder_parameters}
    features = TableEncoder(
        image,
        encoder=ImageEncoder(encoder, **encoder_parameters),
        reduce=reduce,
        weight=weight,
        estimator=clone(head),
    )
    pipeline = Pipeline([("features", features), ("head", head)])
    request_metadata(pipeline, ("sample_weight", "groups"))
    return pipeline
