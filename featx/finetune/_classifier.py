"""FineTuneClassifier: a pretrained network tuned to classes of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from featx._image_encoder import ImageEncoder
from featx.encoders import Encoder
from featx.finetune._classes import Classes
from featx.finetune._estimator import FineTuner
from featx.images import Preprocess
from featx.store import Store


class FineTuneClassifier(ClassifierMixin, FineTuner):
    """Tune the last layers of a pretrained network to one's own classes.

    The head starts as the logistic regression on cached embeddings, then the unfrozen layers are tuned with it at a
    low rate (LP-FT): better than plain fine-tuning on images like those of the training, and on others [1]_. What
    stays frozen is computed once for each image and kept in the store, not once an epoch.

    Parameters
    ----------
    encoder : str, Encoder or ImageEncoder, default="efficientnet_lite0"
        What is tuned; a copy, the encoder itself stays as it is. An ImageEncoder brings its own weights, preprocess,
        device, cache, on_error and on_missing along.
    weights, preprocess
        As for `ImageEncoder`.
    unfreeze : str or int, default="last_block"
        Where tuning begins; all that comes after it is tuned too: ``"head"`` (that alone), ``"last_block"``, a number
        of blocks, ``"all"``, or a node or portable name (``"late"``) as `list_layers` shows them.
    start : {"probe", "random"} or None, default=None
        How the head starts: as the logistic regression on the embeddings, or with random weights. None is the probe,
        but with `train_norms` random: the embeddings that a probe knows are not those of a batch then.
    epochs : int, default=10
    batch_size : int, default=32
        A full GPU gets a batch in parts, with a warning; with `train_norms` the norms follow each part.
    learning_rate : float, default=5e-4
        The head's; AdamW takes the steps.
    layer_decay : float, default=0.8
        Each block's rate, from the end, is this part of the rate of the block after it.
    weight_decay : float, default=0.01
        Of weights, not of biases and norms.
    warmup : float, default=0.1
        Share of the steps in which the rates rise, before they fall as a cosine.
    augment : {"flip", "shift", "flip+shift"}, callable or None, default=None
        How images are changed at random, anew in each epoch: mirrored, moved by an eighth of their side, or both; or
        a function of one image, a uint8 tensor (3, size, size), to another one, such as torchvision's transforms.
        The frozen layers are then computed in each epoch.
    train_norms : bool or None, default=None
        Whether batch normalisation in tuned layers follows the batches. With few images its pretrained statistics are
        better, so None is False, but for ``weights="random"``. In frozen layers they always stay.
    validation : float or None, default=None
        Early stopping: a share of each class that is not trained on; the weights of its lowest loss are kept, those
        before the first epoch included. None or 0: all images are trained on, and the last weights are kept. With
        few images these are worth more than stopping; rates that fall to zero make the last epochs harmless.
    patience : int or None, default=5
        Of early stopping: epochs without a lower validation loss after which training ends; None never ends it.
    class_weight : dict, "balanced" or None, default=None
        As for scikit-learn's classifiers; ``"balanced"`` counts rows by their ``sample_weight``.
    source_weight : float, default=1.0
        With ``fit(..., source=...)``: what the source's loss is multiplied with.
    checkpoint : str, Path or None, default=None
        A folder in which a file for each training is kept: a killed one goes on after its last epoch, a finished one
        is not repeated. Other images, labels or parameters are another file; an augment is known by its code and what
        it holds. It may be deleted at any time.
    device : str, default="auto"
        ``"auto"`` is CUDA where there is one.
    precision : {"float32", "bfloat16"}, default="float32"
        ``"bfloat16"`` trains in mixed precision, on GPUs that have it.
    cache, on_error, on_missing
        As for `ImageEncoder`, also of one that is given as the encoder. Images that are NaN rows there are left out
        of the training here, and `predict` fills them with the mean embedding of up to 256 images trained on.
    random_state : int, RandomState or None, default=0
        Draws the split, the order and the noise, by torch's generator: an augment that draws from numpy's or from
        ``random`` is its own affair. On one machine's CPU, the same one gives the same weights.
    verbose : int, default=1
        1 shows a progress bar, with the last epoch's numbers, on a terminal or in a notebook.

    Attributes
    ----------
    encoder_ : Encoder
        The tuned encoder, of a fingerprint of its own: to be cached, ranked, saved and exported like any other, as in
        ``featx.image_pipeline("svm", encoder=model.encoder_)``.
    imputer_ : SimpleImputer or None
        What fills NaN rows; None where images that cannot be used raise.
    head_ : LogisticRegression
        The tuned head, a linear model of the encoder's embeddings.
    classes_ : ndarray of shape (n_classes,)
    history_ : pandas.DataFrame
        A row for each epoch, with the columns epoch, train_loss, validation_loss, validation_accuracy, learning_rate
        (the head's, at its end) and seconds; epoch 0 is the head before training.

    Notes
    -----
    Networks are cut at a node between blocks, by torch.fx; one that cannot be traced has its frozen layers computed
    in each epoch, which the log says. Uncut, an epoch of the last block of EfficientNet-Lite0 takes four to six times
    as long (320 images of 112 x 112; ``python -m tests.benchmarks.finetune --size 112``). The activations are held in
    memory while it trains: 38 kB an image for that block, at 224 x 224. Where they would take too much of the memory
    that is available, which the log says, or there are none, pixels are, in a temporary file: 150 kB an image.

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
    >>> model = FineTuneClassifier(small_encoder(16), epochs=2).fit(X, y)
    >>> model.predict_proba(X).shape, model.history_["epoch"].tolist()
    ((20, 2), [0, 1, 2])
    """

    _labels = Classes

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
        class_weight: Mapping[Any, float] | str | None = None,
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
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__", "class_weight")}
        super().__init__(**given)
        self.class_weight = class_weight

    @property
    def classes_(self) -> np.ndarray:
        """The classes, sorted."""
        return self.head_.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : container of images

        Returns
        -------
        ndarray of shape (n, n_classes)

        Raises
        ------
        ImageErrors
            As of `transform`.
        """
        return self.to_pipeline().predict_proba(X)
