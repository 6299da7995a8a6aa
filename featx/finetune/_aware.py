"""TargetAwareEncoder: a column of images as features of a network that is tuned to the target, without leaking it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder, column_of
from featx._optional import import_optional
from featx._validate import check_integer, is_integer
from featx.encoders import Encoder
from featx.evaluation import as_labels, check_groups, check_y, is_regression
from featx.exceptions import InputError, ParameterError
from featx.finetune._aware_fit import AwareFit
from featx.finetune._estimator import BaseFineTuner, FineTuneClassifier, FineTuneRegressor, check_encoder


class TargetAwareEncoder(TransformerMixin, BaseEstimator):
    """Turn images into features of a network that is tuned to the target, for any estimator.

    `fit` tunes the network's last layers to y. What is handed on is its outputs, beside the principal components of the
    frozen embedding. `fit_transform` cross-fits, as `sklearn.preprocessing.TargetEncoder` does: a row's outputs come
    from a network that was tuned without it, without its copies and without its group, so that the estimator after it
    sees as much of the target in them as it will in new images. ``fit(X, y).transform(X)`` therefore differs from
    ``fit_transform(X, y)``: use the latter, as Pipeline and ColumnTransformer do, for the rows that are trained on.

    Parameters
    ----------
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The encoder that a copy of is tuned, as for `FineTuneClassifier`. Its ``cache`` also keeps the fits.
    unfreeze : str or int, default="last_block"
        Where tuning begins, as for `FineTuneClassifier`.
    reduce : int, default=30
        How many principal components of the frozen embedding stand beside the outputs; 0 hands on the outputs alone.
    cv : int, splitter or iterable of (train, test), default=5
        How `fit_transform` divides the rows; `fit` alone does not. An integer is the number of folds, which are
        shuffled with a fixed seed, stratified by class, and keep groups and copies together. A splitter gets copies as
        groups too, and must test each row once. ``cv + 1`` networks are tuned.
    task : {"auto", "classification", "regression"}, default="auto"
        What y holds, as for `rank_encoders`.
    max_epochs : int, default=10
        Epochs of each tuning.
    batch_size : int, default=32
        Images in a step.
    learning_rate : float, default=5e-4
        The head's learning rate; blocks before it have lower ones.
    augment : {"flip", "shift", "flip+shift"}, callable or None, default=None
        How images change at random, as for `FineTuneClassifier`.
    random_state : int, RandomState or None, default=0
        Seeds the tunings. Only with an integer is a fit found again.
    verbose : int, default=1
        1 shows progress bars on a terminal or in a notebook.

    Attributes
    ----------
    encoder_ : ImageEncoder
        The features as one encoder: the frozen and the tuned network, with what they share computed once, and their
        projections. What `featx.save` keeps and `featx.export_bundle` exports.
    task_ : {"classification", "regression"}
        What y was taken for.
    classes_ : ndarray of shape (n_classes,) or None
        The classes, sorted.
    feature_names_in_ : ndarray of shape (1,)
        The column's name, if there is one.

    See Also
    --------
    FineTuneClassifier, FineTuneRegressor : Tuned networks that predict by themselves.
    ImageEncoder : The frozen embedding.

    Notes
    -----
    **What is handed on.** Embeddings of two tuned networks lie in different coordinates, so that a column would not
    mean the same in two folds. Outputs do: for two classes the log-odds of the second, for more a centered logit of
    each, for numbers their predictions in deviations of y. ``tests/benchmarks/RESULTS.md`` compares them with tuned
    embeddings as they are and aligned to the frozen ones.

    **Fits are kept** in the store of the encoder's ``cache``, by content: for the same images, labels, groups and
    parameters, under the same versions of torch, skorch, numpy and scikit-learn, networks are tuned once for each
    estimator that follows, and in one process, while others wait for it. A killed fit goes on after its last fold.
    Damaged files are tuned again, with a warning. ``featx cache info`` lists fits, ``featx cache clear`` deletes them.
    With ``cache=False``, or a store of your own, nothing is kept.

    **Groups.** ``fit_transform(X, y, groups=...)`` keeps rows of one group on one side; with scikit-learn's metadata
    routing, ``TargetAwareEncoder().set_fit_request(groups=True)`` has a Pipeline pass them. Copies, by content or by
    what the image looks like (as `audit` finds them), are kept together in any case.

    Images that the encoder's policies turn into NaN rows are not tuned on, and are NaN rows here.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> import featx
    >>> from featx.finetune import small_encoder
    >>> X = np.random.default_rng(0).integers(0, 200, (30, 16, 16), dtype=np.uint8)
    >>> y = ["dark", "bright"] * 15
    >>> X[1::2] += 50
    >>> encoder = featx.ImageEncoder(small_encoder(16), cache=False, verbose=0)
    >>> aware = featx.TargetAwareEncoder(encoder, reduce=2, cv=3, max_epochs=2, verbose=0)
    >>> make_pipeline(aware, LogisticRegression()).fit(X, y).predict(X).shape
    (30,)
    >>> aware.fit(X, y).get_feature_names_out(["photo"]).tolist()
    ['photo_0', 'photo_1', 'photo_2']
    """

    # All that skrub asks of a transformer of single columns.
    __single_column_transformer__ = True

    def __init__(
        self,
        encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
        *,
        unfreeze: str | int = "last_block",
        reduce: int = 30,
        cv: Any = 5,
        task: str = "auto",
        max_epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
        augment: str | Callable | None = None,
        random_state: Any = 0,
        verbose: int = 1,
    ):
        self.encoder = encoder
        self.unfreeze = unfreeze
        self.reduce = reduce
        self.cv = cv
        self.task = task
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.augment = augment
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> TargetAwareEncoder:
        """Tune the network to all rows.

        Parameters
        ----------
        X : container of images
            n images, as for `ImageEncoder`.
        y : array of shape (n,) or (n, n_outputs)
            Class labels; or numbers, of several outputs too.
        groups : array of shape (n,), default=None
            Rows that belong together. They matter to `fit_transform` alone.
        sample_weight : array of shape (n,), default=None
            Weights of the images in the loss.

        Returns
        -------
        TargetAwareEncoder
            Fitted estimator.

        Raises
        ------
        InputError
            If X, y, groups or sample_weight cannot be used: a missing label, a single class, another length.
        ParameterError
            If a parameter has a value that is not accepted, or the encoder cannot be tuned.
        ImageReadError
            If images are unusable, and the encoder's ``on_error`` or ``on_missing`` is "raise".
        TrainingError, MissingDependencyError
            As for `FineTuneClassifier.fit`.
        """
        self._take(self._prepare(X, y, groups, sample_weight), X)
        return self

    def fit_transform(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Tune the network to all rows, and return features of networks that were tuned without them.

        Parameters
        ----------
        X, y, groups, sample_weight
            As for `fit`.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            The outputs, then the principal components of the frozen embedding; or a frame, as `set_output` says.

        Raises
        ------
        InputError
            As for `fit`; also if a class has fewer images, or there are fewer groups, than folds, if a fold would train
            without a class, or if a splitter divides a group.
        ParameterError, ImageReadError, TrainingError, MissingDependencyError
            As for `fit`.
        """
        prepared = self._prepare(X, y, groups, sample_weight)
        features = prepared.features()
        self._take(prepared, X)
        return features

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of the network that was tuned to all rows.

        Parameters
        ----------
        X : container of images
            n images, as for `ImageEncoder`.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            As for `fit_transform`.

        Raises
        ------
        ImageReadError
            If images are unusable, and the encoder's ``on_error`` or ``on_missing`` is "raise".
        """
        check_is_fitted(self)
        return self.encoder_.transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the features.

        Parameters
        ----------
        input_features : array of one str, default=None
            The column's name; None is the one that `fit` saw, or ``"image"``.

        Returns
        -------
        ndarray of str
            ``photo_00``, ``photo_01``, ...
        """
        check_is_fitted(self)
        return self.encoder_.get_feature_names_out(input_features)

    def to_encoder(self) -> ImageEncoder:
        """Return the features as an encoder like any other, to be saved (`featx.save`) or exported.

        Returns
        -------
        ImageEncoder
            Its network ends in the projections; its embedding is what `transform` returns.
        """
        check_is_fitted(self)
        encoder = copy(self.encoder_)
        # Arrays or frames come out of it as they did of this.
        encoder.__dict__.pop("_sklearn_output_config", None)
        if hasattr(self, "_sklearn_output_config"):
            encoder._sklearn_output_config = self._sklearn_output_config
        return encoder

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "encoder_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = getattr(self.encoder, "on_missing", "raise") == "nan"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _prepare(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> AwareFit:
        """Check everything before anything is computed."""
        import_optional("skorch", extra="finetune", purpose="TargetAwareEncoder")
        encoder = self._image_encoder()
        column = column_of(encoder, X)
        n = len(column)
        if not n:
            raise InputError("Got no images. Expected some to train on.")
        if y is None:
            raise InputError("Got no y. Expected the target: the network is tuned to it.")
        labels = as_labels(y)
        regression = is_regression(labels, self.task, n_folds=self.cv)
        tuner = self._tuner(FineTuneRegressor if regression else FineTuneClassifier, encoder)
        tuner._check_settings(check_encoder(encoder))
        return AwareFit(
            column,
            check_y(labels, n, regression),
            None if groups is None else check_groups(groups, n),
            sample_weight,
            tuner,
            encoder,
            check_integer("reduce", self.reduce, 0),
            self._check_cv(),
        )

    def _tuner(self, kind: type[BaseFineTuner], encoder: ImageEncoder) -> BaseFineTuner:
        names = ("unfreeze", "max_epochs", "batch_size", "learning_rate", "augment", "random_state", "verbose")
        return kind(encoder, **{name: getattr(self, name) for name in names})

    def _image_encoder(self) -> ImageEncoder:
        if isinstance(self.encoder, ImageEncoder):
            return clone(self.encoder).set_output(transform="default")
        return ImageEncoder(self.encoder, verbose=self.verbose).set_output(transform="default")

    def _check_cv(self) -> Any:
        if is_integer(self.cv):
            return check_integer("cv", self.cv, 2)
        if hasattr(self.cv, "split"):
            return self.cv
        if hasattr(self.cv, "__iter__") and not isinstance(self.cv, str):
            return [(np.asarray(train), np.asarray(test)) for train, test in self.cv]
        raise ParameterError(f"Got cv={self.cv!r}. Expected an integer, a splitter, or (train, test) pairs.")

    def _take(self, fitted: AwareFit, X: Any) -> None:
        """Take what `transform` needs."""
        encoder = clone(fitted.encoder).set_params(encoder=fitted.network(), weights="default", preprocess="default")
        self.encoder_ = encoder.fit(X)
        classes = getattr(fitted.targets, "classes", None)
        self.task_ = "regression" if classes is None else "classification"
        self.classes_ = classes
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
