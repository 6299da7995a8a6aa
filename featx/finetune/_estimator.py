"""FineTuneClassifier and FineTuneRegressor: a pretrained network tuned to the user's classes or numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from featx._image_encoder import ImageEncoder, extraction_of
from featx._optional import import_optional
from featx._validate import check_choice, check_integer, check_number, is_integer
from featx.encoders import Encoder, EncoderSpec
from featx.exceptions import InputError, ParameterError
from featx.finetune._data import make_augment
from featx.finetune._run import TrainingTask, fine_tune, in_source
from featx.finetune._settings import HEAD_INITS, PRECISIONS, TrainingSettings
from featx.finetune._targets import ClassTargets, RegressionTargets, Targets
from featx.images import as_column

# Images whose mean embedding stands for one that cannot be used.
_IMPUTED_FROM = 256


class BaseFineTuner(BaseEstimator):
    """What fine-tuned classifiers and regressors share; `FineTuneClassifier` documents the parameters."""

    def __init__(
        self,
        encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
        *,
        unfreeze: str | int = "last_block",
        head_init: str | None = None,
        max_epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        augment: str | Callable | None = None,
        train_batch_norm: bool | None = None,
        validation_fraction: float | None = None,
        n_iter_no_change: int | None = 5,
        source_weight: float = 1.0,
        checkpoint_dir: str | Path | None = None,
        precision: str = "float32",
        random_state: Any = 0,
        verbose: int = 1,
    ):
        self.encoder = encoder
        self.unfreeze = unfreeze
        self.head_init = head_init
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.augment = augment
        self.train_batch_norm = train_batch_norm
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.source_weight = source_weight
        self.checkpoint_dir = checkpoint_dir
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None, source: tuple[Any, Any] | None = None) -> Any:
        """Tune the encoder and its head.

        Parameters
        ----------
        X : container of images
            n images, as for `ImageEncoder`.
        y : array of shape (n,)
            Their labels; numbers for the regressor, of shape (n, n_outputs) too.
        sample_weight : array of shape (n,), default=None
            Weights of the images in the loss.
        source : (images, labels), default=None
            Another task of the same kind that is learned at the same time: the loss is the sum of the target's and
            ``source_weight`` times the source's, each task with its head. The source's head is not kept.

        Returns
        -------
        estimator
            Fitted estimator.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted, or if nothing would be tuned.
        InputError
            If X or y cannot be used, because there is only one class, for example.
        ImageReadError
            If images are unusable, and the encoder's ``on_error`` or ``on_missing`` is "raise".
        TrainingError
            If the loss becomes NaN or infinite, or if memory or the temporary folder is too small.
        MissingDependencyError
            If skorch is not installed.
        """
        self._fit(X, y, sample_weight, source)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, source: Any = None, unseen: Any = None) -> np.ndarray | None:
        """Fit, and embed images that it is not tuned to."""
        import_optional("skorch", extra="finetune", purpose="Fine-tuning")
        encoder = self._image_encoder()
        settings = self._check_settings(check_encoder(encoder))
        source_weight = check_number("source_weight", self.source_weight, 0, closed="right")
        tasks = [TrainingTask(X, self._make_targets(y, _count_images(X), sample_weight))]
        if source is not None:
            with in_source():
                images, labels = _check_pair(source)
                tasks.append(
                    TrainingTask(images, self._make_source_targets(labels, _count_images(images)), source_weight)
                )
        result = fine_tune(tasks, encoder, settings, self.checkpoint_dir, unseen)
        self.encoder_, self.history_ = result.encoder, result.history
        self.head_ = tasks[0].targets.make_head(result.coef, result.intercept)
        self.imputer_ = self._fit_imputer(X, result.usable)
        return result.unseen

    def transform(self, X: Any) -> np.ndarray:
        """Embed images by the tuned encoder.

        Parameters
        ----------
        X : container of images
            n images, as for `ImageEncoder`.

        Returns
        -------
        ndarray of shape (n, dim), float32
            Embeddings.

        Raises
        ------
        ImageReadError
            If images are unusable, and the encoder's ``on_error`` or ``on_missing`` is "raise"; if it is "nan", their
            rows are NaN.
        """
        return self.to_pipeline().named_steps["encoder"].transform(X)

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers.

        Parameters
        ----------
        X : container of images
            n images, as for `ImageEncoder`. For those that become NaN rows, the mean embedding of the training images
            is predicted from.

        Returns
        -------
        ndarray of shape (n,) or (n, n_outputs)
            Predictions.

        Raises
        ------
        ImageReadError
            As for `transform`.
        """
        return self.to_pipeline().predict(X)

    def to_pipeline(self) -> Any:
        """Return the tuned encoder and its head as a fitted Pipeline, to be saved (`featx.save`) or exported.

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
        tags.input_tags.allow_nan = getattr(self.encoder, "on_missing", "raise") == "nan"
        return tags

    def _make_targets(self, y: Any, n: int, sample_weight: Any) -> Targets:
        raise NotImplementedError

    def _make_source_targets(self, y: Any, n: int) -> Targets:
        raise NotImplementedError

    def _image_encoder(self) -> ImageEncoder:
        if isinstance(self.encoder, ImageEncoder):
            return clone(self.encoder)
        return ImageEncoder(self.encoder, verbose=self.verbose)

    def _tuned_encoder(self) -> ImageEncoder:
        return self._image_encoder().set_params(encoder=self.encoder_, weights="default", preprocess="default")

    def _fit_imputer(self, X: Any, usable: np.ndarray) -> Any:
        """Fit what fills NaN rows, where there may be any, on some of the training images."""
        encoder = self._tuned_encoder()
        if "nan" not in (encoder.on_error, encoder.on_missing):
            return None
        from sklearn.impute import SimpleImputer

        sources = as_column(X).sources
        some = np.unique(np.linspace(0, len(usable) - 1, _IMPUTED_FROM).astype(int))
        found = encoder.set_params(verbose=0).transform([sources[i] for i in usable[some]])
        return SimpleImputer(keep_empty_features=True).fit(np.asarray(found))

    def _check_settings(self, spec: EncoderSpec) -> TrainingSettings:
        """Check the parameters, and choose what None leaves open."""
        check_choice("head_init", self.head_init, (*HEAD_INITS, None))
        check_choice("precision", self.precision, PRECISIONS)
        make_augment(self.augment)
        batch_norm = self._check_train_batch_norm()
        if batch_norm is None:
            batch_norm = spec.weights.startswith("random:")
        patience, unfreeze = self.n_iter_no_change, self.unfreeze
        return TrainingSettings(
            unfreeze=unfreeze.item() if isinstance(unfreeze, np.generic) else unfreeze,
            head_init=str(self.head_init or ("random" if batch_norm else "probe")),
            max_epochs=check_integer("max_epochs", self.max_epochs),
            batch_size=check_integer("batch_size", self.batch_size),
            learning_rate=check_number("learning_rate", self.learning_rate, 0, closed="right"),
            layer_decay=check_number("layer_decay", self.layer_decay, 0, 1, closed="right"),
            weight_decay=check_number("weight_decay", self.weight_decay, 0),
            warmup_fraction=check_number("warmup_fraction", self.warmup_fraction, 0, 1, closed="left"),
            augment=self.augment,
            train_batch_norm=batch_norm,
            validation_fraction=0.0
            if self.validation_fraction is None
            else check_number("validation_fraction", self.validation_fraction, 0, 1, closed="left"),
            n_iter_no_change=None if patience is None else check_integer("n_iter_no_change", patience),
            precision=str(self.precision),
            seed=self._draw_seed(),
            verbose=self.verbose,
        )

    def _check_train_batch_norm(self) -> bool | None:
        value = self.train_batch_norm
        if value is None or isinstance(value, bool | np.bool_):
            return None if value is None else bool(value)
        raise ParameterError(f"Got train_batch_norm={value!r}. Expected True, False or None.")

    def _draw_seed(self) -> int:
        if self.checkpoint_dir is not None and not is_integer(self.random_state):
            raise ParameterError(
                f"Got checkpoint_dir with random_state={self.random_state!r}. Expected an integer: another seed would "
                "be another training, and never go on."
            )
        return int(check_random_state(self.random_state).randint(2**31 - 1))


class FineTuneClassifier(ClassifierMixin, BaseFineTuner):
    """Tune the last layers of a pretrained network to new classes.

    The head starts as the logistic regression on cached embeddings, then the unfrozen layers are tuned with it at a
    low rate (LP-FT). This is better than plain fine-tuning both on images like the training images and on others
    [1]_. What stays frozen is computed once for each image and kept in the store, not once an epoch.

    Parameters
    ----------
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        The encoder to tune. A copy is tuned, and the encoder itself stays as it is. Weights, preprocessing, device,
        cache and the policies for images that cannot be used are those of an `ImageEncoder`, as in
        ``FineTuneClassifier(ImageEncoder("resnet50", preprocess="squash", device="cuda:1"))``. It trains on the first
        of several devices. Images that its policies turn into NaN rows are left out of the training; `predict` fills
        their rows with the mean embedding of up to 256 training images.
    unfreeze : str or int, default="last_block"
        Where tuning begins; all layers after it are tuned too: ``"head"`` (the head alone), ``"last_block"``, a number
        of blocks, ``"all"``, or a node or portable name (``"late"``) as `list_layers` shows them.
    head_init : {"probe", "random"} or None, default=None
        How the head starts: as the logistic regression on the embeddings, or with random weights. If None, ``"probe"``,
        or ``"random"`` when `train_batch_norm` is True, because batch statistics change the embeddings that the probe
        was fitted on.
    max_epochs : int, default=10
        The number of epochs, if early stopping does not end training before.
    batch_size : int, default=32
        Images in a step. If the GPU's memory is full, a batch is computed in parts, with a warning; with
        `train_batch_norm` the statistics follow each part.
    learning_rate : float, default=5e-4
        The head's learning rate, with AdamW.
    layer_decay : float, default=0.8
        Each block's rate is the rate of the block after it times this factor.
    weight_decay : float, default=0.01
        The decay of weights; biases and norms do not decay.
    warmup_fraction : float, default=0.1
        The share of the steps in which the rates rise, before they fall as a cosine.
    augment : {"flip", "shift", "flip+shift"}, callable or None, default=None
        How images change at random, anew in each epoch: mirrored, moved by up to an eighth of their side, or both; or
        a function from one image, a uint8 tensor (3, size, size), to another one, such as torchvision's transforms.
        With an augment the frozen layers are computed in each epoch.
    train_batch_norm : bool or None, default=None
        Whether batch normalization in tuned layers follows the batches. With few images its pretrained statistics are
        better, so None is False, except with random weights, as in ``ImageEncoder("resnet18", weights="random")``.
        In frozen layers the statistics never change.
    validation_fraction : float or None, default=None
        Early stopping: a share of each class that is held out. The weights of the epoch with the lowest validation
        loss are kept, which may be those before the first epoch. If None or 0, all images are trained on, and the last
        weights are kept. With few images these images are worth more than early stopping, and since the rates fall to
        zero, the last epochs do little harm.
    n_iter_no_change : int or None, default=5
        Early stopping: epochs without a lower validation loss after which training ends. None never ends it early.
    class_weight : dict, "balanced" or None, default=None
        As for scikit-learn's classifiers; ``"balanced"`` counts rows by their ``sample_weight``.
    source_weight : float, default=1.0
        With ``fit(..., source=...)``: what the source's loss is multiplied by.
    checkpoint_dir : str, Path or None, default=None
        A folder in which a file for each training is kept: a killed training goes on after its last epoch, a finished
        one is not repeated. Other images, labels or parameters have another file; an augment function is recognized by
        its code and the values that it holds. The folder may be deleted at any time.
    precision : {"float32", "bfloat16"}, default="float32"
        ``"bfloat16"`` trains in mixed precision, on GPUs that have it.
    random_state : int, RandomState or None, default=0
        Seeds the split, the order and the noise, by torch's generator. Augment functions that draw from NumPy's or
        Python's generators are not seeded. Results are reproducible on the same CPU.
    verbose : int, default=1
        1 shows a progress bar, with the last epoch's numbers, on a terminal or in a notebook.

    Attributes
    ----------
    encoder_ : Encoder
        The tuned encoder, which has a new fingerprint: it can be cached, ranked, saved and exported like any other, as
        in ``featx.image_pipeline("svm", encoder=model.encoder_)``.
    imputer_ : SimpleImputer or None
        What fills NaN rows; None where images that cannot be used raise.
    head_ : LogisticRegression
        The tuned head, a linear model on the encoder's embeddings.
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    history_ : pandas.DataFrame
        A row for each epoch, with the columns epoch, train_loss, validation_loss, validation_accuracy, learning_rate
        (the head's, at its end) and seconds; epoch 0 is the head before training.

    Notes
    -----
    Networks are cut at a node between blocks, by torch.fx; one that cannot be traced has its frozen layers computed
    in each epoch, which is logged, and which takes several times as long (``python -m tests.benchmarks.finetune``). The
    activations are held in memory while it trains: 38 kB an image for the last block of EfficientNet-Lite0, at
    224 x 224. If the available memory is too small for them, which is logged, or if the whole network is tuned, the
    pixels are held in a temporary file instead: 150 kB an image.

    Fits in several threads wait for one another, since the threads share torch's generator; processes do not.

    References
    ----------
    .. [1] Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution,
       arXiv:2202.10054.

    Examples
    --------
    >>> import numpy as np
    >>> import featx
    >>> from featx.finetune import FineTuneClassifier, small_encoder
    >>> X = np.random.default_rng(0).integers(0, 200, (20, 16, 16), dtype=np.uint8)
    >>> y = ["dark", "bright"] * 10
    >>> X[1::2] += 50
    >>> model = FineTuneClassifier(small_encoder(16), max_epochs=2).fit(X, y)
    >>> model.predict_proba(X).shape, model.history_["epoch"].tolist()
    ((20, 2), [0, 1, 2])
    """

    def __init__(
        self,
        encoder: str | Encoder | ImageEncoder = "efficientnet_lite0",
        *,
        unfreeze: str | int = "last_block",
        head_init: str | None = None,
        max_epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        augment: str | Callable | None = None,
        train_batch_norm: bool | None = None,
        validation_fraction: float | None = None,
        n_iter_no_change: int | None = 5,
        class_weight: Mapping[Any, float] | str | None = None,
        source_weight: float = 1.0,
        checkpoint_dir: str | Path | None = None,
        precision: str = "float32",
        random_state: Any = 0,
        verbose: int = 1,
    ):
        super().__init__(
            encoder,
            unfreeze=unfreeze,
            head_init=head_init,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            layer_decay=layer_decay,
            weight_decay=weight_decay,
            warmup_fraction=warmup_fraction,
            augment=augment,
            train_batch_norm=train_batch_norm,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            source_weight=source_weight,
            checkpoint_dir=checkpoint_dir,
            precision=precision,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @property
    def classes_(self) -> np.ndarray:
        """The classes, sorted."""
        return self.head_.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : container of images
            n images, as for `predict`.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Probabilities.

        Raises
        ------
        ImageReadError
            As for `transform`.
        """
        return self.to_pipeline().predict_proba(X)

    def _make_targets(self, y: Any, n: int, sample_weight: Any) -> ClassTargets:
        return ClassTargets(y, n, sample_weight, self.class_weight)

    def _make_source_targets(self, y: Any, n: int) -> ClassTargets:
        return ClassTargets(y, n)


class FineTuneRegressor(RegressorMixin, BaseFineTuner):
    """Tune the last layers of a pretrained network to predict numbers, one or several for each image.

    It works as `FineTuneClassifier` does, with ridge regression on the embeddings as the start of the head and the
    mean squared error of standardized targets as the loss.

    Parameters
    ----------
    encoder, unfreeze, head_init, max_epochs, batch_size, learning_rate, layer_decay, weight_decay, warmup_fraction, \
    augment, train_batch_norm, validation_fraction, n_iter_no_change, source_weight, checkpoint_dir, precision, \
    random_state, verbose
        As for `FineTuneClassifier`.

    Attributes
    ----------
    encoder_ : Encoder
        The tuned encoder.
    imputer_ : SimpleImputer or None
        What fills NaN rows; None where images that cannot be used raise.
    head_ : LinearRegression
        The tuned head, in the units of y.
    history_ : pandas.DataFrame
        As for `FineTuneClassifier`, with validation_mae, the mean absolute error in the units of y, in place of
        validation_accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from featx.finetune import FineTuneRegressor, small_encoder
    >>> X = np.random.default_rng(0).integers(0, 200, (20, 16, 16), dtype=np.uint8)
    >>> y = X.mean(axis=(1, 2))
    >>> FineTuneRegressor(small_encoder(16), max_epochs=2).fit(X, y).predict(X).shape
    (20,)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _make_targets(self, y: Any, n: int, sample_weight: Any) -> RegressionTargets:
        return RegressionTargets(y, n, sample_weight)

    def _make_source_targets(self, y: Any, n: int) -> RegressionTargets:
        return RegressionTargets(y, n)


def check_encoder(encoder: ImageEncoder) -> EncoderSpec:
    """Refuse an encoder that is not tuned by its feature, or that has no network."""
    if encoder.precision != "float32" or (encoder.layers, encoder.combine, encoder.views) != (None, None, None):
        raise ParameterError(
            f"Got {encoder!r}. Expected an ImageEncoder with layers=None, precision='float32', combine=None and "
            "views=None: the head is trained on the network's feature of one image."
        )
    spec = extraction_of(encoder).spec
    if spec.graph is not None:
        raise ParameterError(f"Got {encoder.encoder!r}, a graph in a file, whose weights cannot be tuned.")
    return spec


def _check_pair(source: Any) -> tuple[Any, Any]:
    if not isinstance(source, tuple | list) or len(source) != 2:
        raise InputError(f"Got source=<{type(source).__name__}>. Expected (images, labels).")
    return source[0], source[1]


def _count_images(X: Any) -> int:
    n = len(as_column(X))
    if not n:
        raise InputError("Got no images. Expected some to train on.")
    return n
