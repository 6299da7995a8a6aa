"""image_pipeline: encoder, scaler and head as a plain scikit-learn Pipeline."""

from __future__ import annotations

from collections.abc import Mapping
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
        ``"logistic"``: StandardScaler, LogisticRegression(C=0.01).
        ``"svm"``: Normalizer, SVC(C=10) with an RBF kernel.
        ``"ridge"``: StandardScaler, Ridge(alpha=1000), for regression.
        ``"probe"``: StandardScaler, `featx.heads.LinearProbe`, which chooses C by itself.
        ``"prototype"``: `featx.heads.EmbeddingNormalizer`, `featx.heads.PrototypeClassifier`, for a few images a class.
        An estimator or a Pipeline of your own is cloned, after a StandardScaler.
    encoder : str or Encoder, default="efficientnet_lite0"
    head_parameters : mapping, default=None
        Set on the head.
    **encoder_parameters
        Passed to `ImageEncoder`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Raises
    ------
    UnknownNameError
        If the head is not known.

    Notes
    -----
    The defaults come from a comparison on embeddings of EfficientNet-Lite0
    (accuracy on held-out images of Fashion-MNIST with 5,000, 500 and 50 for
    training, and of scikit-learn's digits with 900):

    ==============================================  =====  =====  =====  ======
    head                                            5,000    500     50  digits
    ==============================================  =====  =====  =====  ======
    StandardScaler, LogisticRegression(C=0.01)      0.879  0.820  0.587  0.918
    StandardScaler, LogisticRegression(C=1)         0.861  0.813  0.601  0.929
    Normalizer, LogisticRegression(C=100)           0.875  0.817  0.691  0.932
    Normalizer, SVC(C=10)                           0.889  0.820  0.661  0.928
    StandardScaler, SVC(C=10)                       0.878  0.785  0.331  0.823
    Normalizer, PCA(128), SVC(C=10)                 0.881  0.817  -      0.925
    Normalizer, LinearSVC(C=1)                      0.878  0.829  0.685  0.902
    StandardScaler, LinearSVC(C=0.001)              0.877  0.820  0.591  0.906
    StandardScaler, LinearProbe()                   0.877  0.820  0.600  0.924
    EmbeddingNormalizer, LinearProbe()              0.875  0.816  0.691  0.937
    EmbeddingNormalizer, PrototypeClassifier()      0.793  0.790  0.714  0.738
    ... of method "whiten", PrototypeClassifier()   0.863  0.791  0.733  0.930
    ==============================================  =====  =====  =====  ======

    An RBF kernel wants embeddings of length one, not of unit variance: scaling
    blows up features that are nearly always zero. PCA would make the SVM about
    seven times faster, for up to 0.8 points; LinearSVC is no faster than that.
    With 50 images, 5 a class, the nearest prototype beats all that is optimised
    (the best of these by 2.4 +- 0.9 points over eight draws); with 500 it does
    not. ``"prototype"`` has method ``"cl2n"``, for which the temperature is made;
    ``scaler__method="whiten"`` has the better labels from 20 images a class, and
    wants a temperature of 0.02 or less.
    ``python -m tests.benchmarks.heads`` prints the table.

    One BLAS thread and many give the same folds' scores, but for rounding. scikit-learn's LogisticRegression trains in
    the embeddings' float32, where another order of sums may end it an iteration sooner: probabilities differ by up to
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
    _request_weights(pipeline)
    return pipeline


def _request_weights(pipeline: Pipeline) -> None:
    """Let every step that takes sample weights ask for them, for when metadata routing is enabled."""
    from sklearn import config_context
    from sklearn.base import BaseEstimator

    with config_context(enable_metadata_routing=True):  # else nothing may be asked for
        for step in pipeline.get_params().values():
            if not isinstance(step, BaseEstimator):
                continue
            # What it takes itself; the steps of a step are among the parameters too.
            takes = step._get_metadata_request()
            for method in ("fit", "partial_fit", "score"):
                if getattr(takes, method).requests.get("sample_weight", False) is None:  # not chosen by the user
                    getattr(step, f"set_{method}_request")(sample_weight=True)
                    _own_by_name(step)


def _own_by_name(step: BaseEstimator) -> None:
    """Name a request's owner, who is only shown: a clone's would be the fitted original, which pickles with it."""
    request = step._metadata_request
    for part in (request, *(value for value in vars(request).values() if hasattr(value, "owner"))):
        part.owner = type(step).__name__


def _build_head(head: str | BaseEstimator) -> tuple[Any, Any]:
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import SVC

    from featx.heads import EmbeddingNormalizer, LinearProbe, PrototypeClassifier

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
