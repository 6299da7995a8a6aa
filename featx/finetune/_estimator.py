"""What fine-tuned classifiers and regressors share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder, extraction_of
from featx._optional import import_optional
from featx.encoders import Encoder
from featx.evaluation import check_weights
from featx.exceptions import InputError, ParameterError
from featx.finetune._check import check_parameters
from featx.finetune._classes import Classes
from featx.finetune._job import Job, Task, in_source
from featx.finetune._numbers import Numbers
from featx.images import Preprocess, as_column
from featx.store import Store

# What an ImageEncoder brings along itself.
_OWN = {
    "weights": "default",
    "preprocess": "default",
    "device": "auto",
    "cache": True,
    "on_error": "raise",
    "on_missing": "raise",
}


# Images whose mean embedding stands for one that cannot be used.
_IMPUTED_FROM = 256
# Dropout and augments draw from a generator that all threads share.
_ONE_AT_A_TIME = Lock()


class FineTuner(BaseEstimator):
    """Fine-tune an encoder; see `FineTuneClassifier`, which tells what the parameters are."""

    _labels: type[Classes] | type[Numbers]

    def __init__(
        self,
        encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
        *,
        weights: str | Path = "default",
        preprocess: str | Preprocess = "default",
        unfreeze: str | int = "last_block",
        start: str | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        augment: str | Callable | None = None,
        train_norms: bool | None = None,
        validation: float | None = None,
        patience: int | None = 5,
        source_weight: float = 1.0,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        precision: str = "float32",
        cache: bool | str | Path | Store = True,
        on_error: str = "raise",
        on_missing: str = "raise",
        random_state: Any = 0,
        verbose: int = 1,
    ):
        self.encoder = encoder
        self.weights = weights
        self.preprocess = preprocess
        self.unfreeze = unfreeze
        self.start = start
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.augment = augment
        self.train_norms = train_norms
        self.validation = validation
        self.patience = patience
        self.source_weight = source_weight
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.cache = cache
        self.on_error = on_error
        self.on_missing = on_missing
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None, source: tuple[Any, Any] | None = None) -> Any:
        """Tune the encoder and its head.

        Parameters
        ----------
        X : container of images
            n of them, as for `ImageEncoder`.
        y : array of shape (n,)
        sample_weight : array of shape (n,), default=None
        source : (images, labels), default=None
            Another task of the same kind, trained at the same time: the loss is the sum of the target's and
            ``source_weight`` times the source's, each task with a head of its own. The source's head is not kept.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted, or if nothing would be tuned.
        InputError
            If X or y cannot be used; one class, for example.
        ImageErrors
            If images are unusable, and ``on_error`` or ``on_missing`` say "raise".
        TrainingError
            If the loss becomes NaN or infinite, or memory or the temporary folder have no room.
        MissingDependencyError
            If skorch is not installed.
        """
        import_optional("skorch", extra="finetune", purpose="Fine-tuning")
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        encoder = self._image_encoder()
        self._check_encoder(encoder)
        parameters["device"] = encoder.device
        tasks = [self._task(X, y, sample_weight, class_weight=getattr(self, "class_weight", None))]
        if source is not None:
            with in_source():
                tasks.append(self._task(*_pair(source), share=self.source_weight))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _ONE_AT_A_TIME:
            tuned = Job(parameters, encoder, tasks, seed).run()
        self.encoder_, self.history_ = tuned.encoder, tuned.history
        self.head_ = tasks[0].labels.head(tuned.coef, tuned.intercept)
        self.imputer_ = self._fit_imputer(X, tuned.usable)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed images by the tuned encoder.

        Parameters
        ----------
        X : container of images

        Returns
        -------
        ndarray of shape (n, dim), float32

        Raises
        ------
        ImageErrors
            If images are unusable, and ``on_error`` or ``on_missing`` say "raise"; else their rows are NaN.
        """
        return self.to_pipeline().named_steps["encoder"].transform(X)

    def predict(self, X: Any) -> np.ndarray:
        """Predict; images that become NaN rows get what the mean embedding of the training images gets.

        Parameters
        ----------
        X : container of images

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        ImageErrors
            As of `transform`.
        """
        return self.to_pipeline().predict(X)

    def to_pipeline(self) -> Any:
        """The tuned encoder and its head as a fitted Pipeline, to be saved (`featx.save`) or exported.

        Returns
        -------
        sklearn.pipeline.Pipeline
            Steps ``encoder``, an `ImageEncoder`, and ``head``, a linear model of scikit-learn; between them
            ``imputer`` where rows may be NaN, as in `featx.image_pipeline`.
        """
        from sklearn.pipeline import Pipeline

        check_is_fitted(self, "encoder_")
        imputer = [] if self.imputer_ is None else [("imputer", self.imputer_)]
        return Pipeline([("encoder", self._tuned_encoder()), *imputer, ("head", self.head_)])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "encoder_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_missing == "nan"
        return tags

    def _tuned_encoder(self) -> ImageEncoder:
        return self._image_encoder().set_params(encoder=self.encoder_, weights="default", preprocess="default")

    def _fit_imputer(self, X: Any, usable: np.ndarray) -> Any:
        """Fit what fills NaN rows, where there may be any, on some of the images trained on."""
        encoder = self._tuned_encoder()
        if "nan" not in (encoder.on_error, encoder.on_missing):
            return None
        from sklearn.impute import SimpleImputer

        sources = as_column(X).sources
        some = np.unique(np.linspace(0, len(usable) - 1, _IMPUTED_FROM).astype(int))
        found = encoder.set_params(verbose=0).transform([sources[i] for i in usable[some]])
        return SimpleImputer(keep_empty_features=True).fit(np.asarray(found))

    def _image_encoder(self) -> ImageEncoder:
        if isinstance(self.encoder, ImageEncoder):
            return clone(self.encoder)
        return ImageEncoder(self.encoder, verbose=self.verbose, **{name: getattr(self, name) for name in _OWN})

    def _check_encoder(self, encoder: ImageEncoder) -> None:
        if isinstance(self.encoder, ImageEncoder):
            given = {name: getattr(self, name) for name in _OWN}
            changed = [name for name, default in _OWN.items() if given[name] is not default and given[name] != default]
            if changed:
                raise ParameterError(
                    f"Got {changed[0]}={given[changed[0]]!r} and an ImageEncoder, which has its own. Set it there."
                )
        if encoder.layers is not None or encoder.precision != "float32":
            raise ParameterError(
                f"Got {encoder!r}. Expected an ImageEncoder with layers=None and precision='float32': its own feature "
                "is what a head is trained on."
            )
        if extraction_of(encoder).spec.graph is not None:
            raise ParameterError(f"Got {encoder.encoder!r}, a graph in a file, whose weights cannot be tuned.")

    def _task(self, X: Any, y: Any, sample_weight: Any = None, share: float = 1.0, class_weight: Any = None) -> Task:
        n = len(as_column(X))
        if not n:
            raise InputError("Got no images. Expected some to train on.")
        labels = self._labels(y, n, class_weight, check_weights(sample_weight, n))
        return Task(X, labels, labels.weights, share)


def _pair(source: Any) -> tuple[Any, Any]:
    if not isinstance(source, tuple | list) or len(source) != 2:
        raise InputError(f"Got source=<{type(source).__name__}>. Expected (images, labels).")
    return source[0], source[1]
