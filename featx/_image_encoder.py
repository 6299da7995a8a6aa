"""ImageEncoder: the scikit-learn face of extraction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from featx._array_api import refuse_tensors
from featx._column_encoder import ColumnEncoder
from featx._machine import count_threads
from featx._rebuild import rebuild
from featx._trusted_types import walk
from featx._validate import check_choice, check_integer
from featx.encoders import Encoder, EncoderSpec, resolve
from featx.extraction import COMBINATIONS, Extraction, Options, embed_rows
from featx.images import MAX_PIXELS, Doors, ImageColumn, Preprocess, most_images, open_column
from featx.store import Store


class ImageEncoder(ColumnEncoder):
    """Turn images into embeddings by a pretrained network, each image once.

    A stateless transformer: it works without `fit`, and `fit` only remembers
    the column's name. Embeddings are kept in a store that is keyed by the
    images' content, so cross-validation, grid searches, other processes and
    later days find them again.

    Parameters
    ----------
    encoder : str or Encoder, default="efficientnet_lite0"
        A name of `list_encoders`, ``"timm:NAME"``, or a `featx.Encoder`.
    weights : str or Path, default="default"
        A published name (``"IMAGENET1K_V1"``), the path of a ``.pth`` or
        ``.safetensors`` file, or ``"random"``, ``"random:7"`` (seed 7).
    layers : str or list of str, default=None
        ``"early"``, ``"middle"``, ``"late"`` or ``"last"``, which every network has; nodes as in
        ``module.named_modules()``, of which `list_layers` shows those between blocks; or ``"logits"``. Several are
        concatenated. Early nodes are local, late ones global. None is the network's feature, its classifier's input.
    pooling : {"avg", "max", "gem", "flatten"}, default=None
        How named nodes become one vector; None is ``"avg"``.
    preprocess : {"default", "crop", "squash", "pad"} or Preprocess, default="default"
        Resizing and normalisation; the default is the weights' reference, and
        ``"squash"`` or ``"pad"`` is that reference with another fit (small
        square images are often better squashed than cropped).
        ``Preprocess(size=300)`` has the weights' mean and deviation.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        IEEE float32, the same on every device to a relative L2 of 1e-4; or less, faster, under another fingerprint:
        bfloat16 on processors that have it and on CUDA, tf32 and float16 on CUDA. bfloat16 moves the embedding of a
        sharp photo by 3 to 5 % (relative L2), that of a small crop blown up to the network's size by 10 % and at worst
        by 40 %. `compare_precisions` measures each on your images.
    decode : {"exact", "fast"}, default="exact"
        The pixels are Pillow's; ``"fast"`` has the package cykooz-resizer resize (``pip install 'featx[fast]'``), for
        0.2 to 0.5 % in the embedding (relative L2), and decodes large JPEGs at a fraction of their size, for 2 to 3 %:
        1.5 times as fast at 500 x 375, 2 to 3 times at 1600 x 1200, 2 to 5 times at 4000 x 3000.
    views : {"flip", "five_crops"}, default=None
        Average the embeddings of views of each image, under another fingerprint: of it and its mirror image, in twice
        the time; or of its corners and its center, which are cut from a larger square, in five times the time.
    runtime : {"auto", "openvino", "torch"}, default="auto"
        What runs the network: ``"auto"`` is torch on CUDA and OpenVINO on the CPU.
    device : str or list of str, default="auto"
        ``"auto"`` is CUDA where there is one; or ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or several CUDA devices
        that share the work, ``["cuda:0", "cuda:1"]``.
    batch_size : int, default=None
        Images a forward pass; None is what the runtime runs best (4 a processor in OpenVINO, 32 in torch, 128 on
        CUDA). It changes memory and speed, never an embedding.
    cache : bool, str, Path or Store, default=True
        True is ``$FEATX_CACHE`` or this user's cache folder; a path is that
        folder, and a URL one in an object store (``"s3://bucket/folder"``, see
        `EmbeddingStore`); an object with get_many, put_many and lock is used as
        it is; False keeps nothing.
    on_error : {"raise", "nan"}, default="raise"
        ``"raise"`` encodes every readable image, then raises one `ImageReadError`
        that lists the others; ``"nan"`` makes their rows NaN and warns, once a
        process for each image. It raises all the same where bad images are plainly
        the rule, as under a wrong root: more than half of 20 or more, or all of 5
        or more, those that are missing not counted.
    on_missing : {"raise", "nan"}, default="raise"
        The same for None, NaN and "".
    combine : {"mean", "max", "first", "concat"}, default=None
        What becomes of cells that hold several images, as lists: the mean or the maximum of their embeddings, or the
        first one, of those that can be used; or all side by side, as many as `fit` saw in a row, NaN for those that
        are missing. Each image is a row of the store. None refuses lists.
    root : str, Path or None, default=None
        The folder, or the URL of one, below which relative paths lie; None is the present folder.
    strings : {"path", "base64"}, default="path"
        What texts are, unless they are ``data:`` URIs.
    allow_http : bool or list of str, default=False
        Whether URLs of http and https are read: of all hosts with public addresses, or of these hosts alone, whatever
        their addresses. An image has 60 seconds and 100 MB; redirections to other schemes are not followed.
    max_pixels : int, default=89_000_000
        Larger images are refused before they are decoded. It guards memory and
        time, not the result: a row that is in the cache is given whatever its
        image's size, for nothing is decoded then.
    n_jobs : int, default=-1
        Processors that decode and, in OpenVINO, encode: -1 is all of them, None is 1, as in scikit-learn.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (1,)
        The column's name, if `fit` was given a named one.
    n_images_ : int
        The most images that `fit` saw in a row, with ``combine="concat"``.

    Notes
    -----
    Images may be a list, a tuple, a numpy or pyarrow array, a pandas, polars or daft Series, a column of a dataset of
    Hugging Face, or a frame of one column. A cell is a path, bytes, a PIL image, a uint8 array or tensor, an open
    binary file, a ``data:`` URI, a dict of ``bytes`` and ``path`` as Hugging Face stores images, a part of an image,
    ``{"image": path, "box": (x, y, width, height)}`` with any of these in the place of the path, or a URL: ``file://``,
    ``s3://``, ``gs://``, ``az://``, ``hf://`` and ``memory://`` are read by fsspec (``pip install 'featx[remote]'``)
    as that is configured. Where a store tells an ETag or a version, an object that has not changed is not read again.
    A single image and a bare str are refused: pass ``[image]``.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> photos = load_sample_images().images
    >>> featx.ImageEncoder(cache=False, verbose=0).transform(photos).shape
    (2, 1280)
    """

    _content = "image"

    def __init__(
        self,
        encoder: str | Encoder = "efficientnet_lite0",
        *,
        weights: str | Path = "default",
        layers: str | Sequence[str] | None = None,
        pooling: str | None = None,
        preprocess: str | Preprocess = "default",
        precision: str = "float32",
        decode: str = "exact",
        views: str | None = None,
        runtime: str = "auto",
        device: str | Sequence[str] = "auto",
        batch_size: int | None = None,
        cache: bool | str | Path | Store = True,
        on_error: str = "raise",
        on_missing: str = "raise",
        combine: str | None = None,
        root: str | Path | None = None,
        strings: str = "path",
        allow_http: bool | Sequence[str] = False,
        max_pixels: int = MAX_PIXELS,
        n_jobs: int | None = -1,
        verbose: int = 1,
    ):
        self.encoder = encoder
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.preprocess = preprocess
        self.precision = precision
        self.decode = decode
        self.views = views
        self.runtime = runtime
        self.device = device
        self.batch_size = batch_size
        self.cache = cache
        self.on_error = on_error
        self.on_missing = on_missing
        self.combine = combine
        self.root = root
        self.strings = strings
        self.allow_http = allow_http
        self.max_pixels = max_pixels
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> ImageEncoder:
        """Check the parameters and remember the column's name; no image is read.

        Parameters
        ----------
        X : container of images
        y : array of shape (n,), default=None
            Ignored, unless it is a tensor inside array API dispatch.

        Returns
        -------
        ImageEncoder
            Fitted estimator.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted.
        InputError
            If X is not a container of images; if y is a tensor inside array API dispatch, where embeddings are numpy's.
        """
        refuse_tensors(y=y)
        extraction_of(self)
        column = column_of(self, X)
        self._remember(column.name)
        if self.combine == "concat":
            self.n_images_ = max(1, most_images(column))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed images.

        Parameters
        ----------
        X : container of images
            n of them; see the class's notes.

        Returns
        -------
        ndarray of shape (n, dim), float32
            Or a frame, as `set_output` says. Inside array API dispatch too: the
            steps after it, and scorers, then take labels of every type.

        Raises
        ------
        ImageReadError
            If images are unusable; the others are in the store by then.
        NonFiniteEmbeddingError
            If the network gives NaN or infinite numbers, whatever the policies say; the others are stored by then.
        InputError, ParameterError
            As in `fit`.
        NotFittedError
            If images of a row are put side by side, and how many is not known.
        """
        extraction = extraction_of(self)
        return embed_rows(extraction.embed, column_of(self, X), self.combine, self._n_images())

    def __sklearn_is_fitted__(self) -> bool:
        return self.combine != "concat" or hasattr(self, "n_images_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.combine == "concat"
        return tags

    def _n_images(self) -> int | None:
        """Count the images that every row has side by side; None where they become one."""
        if self.combine != "concat":
            return None
        check_is_fitted(self)
        return self.n_images_

    def _count_outputs(self) -> int:
        return sum(extraction_of(self).dims()) * (self._n_images() or 1)

    def _specs(self) -> tuple[EncoderSpec, ...]:
        from featx.runtimes import check_runtime, choose

        check_runtime(self.runtime, self.device)
        # Runtimes agree in float32 alone.
        reduced = isinstance(self.precision, str) and self.precision != "float32"
        return resolve(
            self.encoder,
            weights=self.weights,
            layers=self.layers,
            pooling=self.pooling,
            preprocess=self.preprocess,
            precision=self.precision,
            decode=self.decode,
            views=self.views,
            executor=choose(self.runtime, self.device).family if reduced else None,
        )

    def _options(self) -> Options:
        self._check_policies("on_error", "on_missing")
        check_choice("combine", self.combine, (*COMBINATIONS, None))
        return Options(
            runtime=self.runtime,
            device=self.device,
            batch_size=None if self.batch_size is None else check_integer("batch_size", self.batch_size),
            on_error=self.on_error,
            on_missing=self.on_missing,
            max_pixels=check_integer("max_pixels", self.max_pixels),
            n_threads=count_threads(self.n_jobs),
            verbose=self._verbosity(),
        )


def extraction_of(encoder: ImageEncoder) -> Extraction:
    """Read an ImageEncoder's parameters as what they stand for; nothing is loaded.

    Raises
    ------
    ParameterError
        If a parameter has a value that is not accepted.
    """
    return Extraction(encoder._specs(), encoder._store(), encoder._options())


def column_of(encoder: ImageEncoder, X: Any) -> ImageColumn:
    """Read images as an ImageEncoder reads them: below its root, from where it may.

    Raises
    ------
    InputError
        If X is no container of images.
    ParameterError
        If a parameter has a value that is not accepted.
    """
    return open_column(X, Doors(encoder.root, encoder.strings, encoder.allow_http))


def as_fitted_encoders(model: Any, unfitted: Any = None) -> Any:
    """Copy a model, and put an `ImageEncoder` where a fitted transformer has a ``to_encoder()`` that gives one.

    Parameters
    ----------
    model : estimator
        A model that may hold such transformers; it is not changed.
    unfitted : object, default=None
        What takes the place of those that are not fitted; None leaves them.

    Returns
    -------
    estimator
        The copy; the model itself if it holds none.
    """
    replaced = {
        id(part): part.to_encoder() if part.__sklearn_is_fitted__() else unfitted or part
        for part in walk(model)
        if isinstance(part, BaseEstimator) and hasattr(part, "to_encoder")
    }
    return rebuild(model, replaced) if replaced else model
