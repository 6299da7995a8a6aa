"""image_pipeline: encoder, scaler and head as a plain scikit-learn Pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from featx._image_encoder import ImageEncoder
from featx.encoders import Encoder
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

HEADS = ("logistic", "svm", "ridge", "probe", "prototype")


def image_pipeline(
    head: str | BaseEstimator = "logistic",
    *,
    encoder: str | Encoder = "efficientnet_lite0",
    head_parameters: Mapping[str, Any] | None = None,
    **encoder_parameters: Any,
) -> Pipeline:
    """Build a Pipeline from images to predictions.

    Its steps are always named ``encoder``, ``scaler`` and ``head`` (with an
    ``imputer`` before the scaler where rows may be NaN), so that a grid over
    ``head__C`` or ``encoder__encoder`` stays valid when another part changes.

    Parameters
    ----------
    head : {"logistic", "svm", "ridge", "probe", "prototype"} or estimator, default="logistic"
        ``"logistic"``: StandardScaler, `featx.heads.LogisticRegression` with C=0.01.
        ``"svm"``: Normalizer, `featx.heads.SVC` with C=10 and an RBF kernel.
        ``"ridge"``: StandardScaler, Ridge(alpha=1000), for regression.
        ``"probe"``: StandardScaler, `featx.heads.LinearProbe`, which chooses C by itself.
        ``"prototype"``: `featx.heads.EmbeddingNormalizer`, `featx.heads.PrototypeClassifier`, for a few images a class.
        An estimator or a Pipeline of your own is cloned, after a StandardScaler.
    encoder : str or Encoder, default="efficientnet_lite0"
        As for `ImageEncoder`.
    head_parameters : mapping, default=None
        Parameters that are set on the head.
    **encoder_parameters
        Further parameters of `ImageEncoder`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        An unfitted pipeline.

    Raises
    ------
    UnknownNameError
        If the head is not known.

    Notes
    -----
    The defaults come from a comparison of twelve heads on embeddings of EfficientNet-Lite0, from 50 to 5,000 training
    images ("Heads" in ``tests/benchmarks/RESULTS.md``). An RBF kernel works on embeddings of length one, not of unit
    variance: scaling inflates features that are nearly always zero. With 5 images a class the nearest prototype is
    better than everything that is optimized; with 50 a class it is not. ``"prototype"`` has method ``"cl2n"``, for
    which the temperature is made; ``scaler__method="whiten"`` has the better labels from 20 images a class, and
    needs a temperature of 0.02 or less.

    Processors that sum in another order give the same folds' scores, but for rounding. LogisticRegression trains in the
    embeddings' float32, where another order of sums may end it an iteration sooner: probabilities differ by up to
    0.005, and so may labels that are so close. ``"svm"``, ``"probe"`` and ``"prototype"`` compute in float64, where
    this does not happen, as long as `LinearProbe` chooses the same C.

    With ``sklearn.set_config(enable_metadata_routing=True)`` each step that takes ``sample_weight``, in its fit or its
    score, is given it by ``cross_val_score(model, X, y, params={"sample_weight": weights})``; what a head of yours
    already asks for, or refuses, stays. A head whose fit takes none is fitted without. Scorers other than the head's
    own have to be asked: ``get_scorer("f1_macro").set_score_request(sample_weight=True)``.

    Examples
    --------
    >>> import featx
    >>> list(featx.image_pipeline("svm").named_steps)
    ['encoder', 'scaler', 'head']
    """
    from sklearn.pipeline import Pipeline

    image_encoder = ImageEncoder(encoder, **encoder_parameters)
    scaler, estimator = _build_head(head)
    if head_parameters:
        estimator.set_params(**head_parameters)
    steps = [("encoder", image_encoder), ("scaler", scaler), ("head", estimator)]
    if "nan" in (image_encoder.on_error, image_encoder.on_missing):
        from sklearn.impute import SimpleImputer

        steps.insert(1, ("imputer", SimpleImputer(keep_empty_features=True)))
    pipeline = Pipeline(steps)
    request_metadata(pipeline)
    return pipeline


def request_metadata(pipeline: Pipeline, names: Sequence[str] = ("sample_weight",)) -> None:
    """Let every step that takes sample weights ask for them, for when metadata routing is enabled.

    Parameters
    ----------
    pipeline : Pipeline
        Its steps are changed, but for what they already ask for, or refuse.
    names : sequence of str, default=("sample_weight",)
        What steps may be given: ``"groups"`` too.
    """
    from sklearn import config_context
    from sklearn.base import BaseEstimator

    with config_context(enable_metadata_routing=True):  # else nothing may be asked for
        for step in pipeline.get_params().values():
            if not isinstance(step, BaseEstimator):
                continue
            # What it takes itself; the steps of a step are among the parameters too.
            takes = step._get_metadata_request()
            for method, name in product(("fit", "partial_fit", "score"), names):
                if getattr(takes, method).requests.get(name, False) is None:  # not chosen by the user
                    getattr(step, f"set_{method}_request")(**{name: True})
                    _own_by_name(step)


def _own_by_name(step: BaseEstimator) -> None:
    """Name a request's owner, who is only shown: a clone's would be the fitted original, which pickles with it."""
    request = step._metadata_request
    for part in (request, *(value for value in vars(request).values() if hasattr(value, "owner"))):
        part.owner = type(step).__name__


def _build_head(head: str | BaseEstimator) -> tuple[Any, Any]:
    from sklearn.base import clone
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import Normalizer, StandardScaler

    from featx.heads import SVC, EmbeddingNormalizer, LinearProbe, LogisticRegression, PrototypeClassifier

    if not isinstance(head, str):
        if not hasattr(head, "fit") or isinstance(head, type):
            raise ParameterError(f"Got head={head!r}. Expected one of {HEADS} or an estimator (an instance).")
        return StandardScaler(), clone(head)
    if head == "logistic":
        return StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    if head == "svm":
        return Normalizer(), SVC(C=10.0)
    if head == "ridge":
        return StandardScaler(), Ridge(alpha=1000.0)
    if head == "probe":
        return StandardScaler(), LinearProbe()
    if head == "prototype":
        return EmbeddingNormalizer(), PrototypeClassifier()
    raise UnknownNameError("head", head, HEADS, "Or pass an estimator.")
