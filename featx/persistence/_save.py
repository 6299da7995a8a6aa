"""save: a model -> a folder, whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from featx._atomic import atomic_folder
from featx.exceptions import ModelError, ParameterError
from featx.persistence._pack import Packer
from featx.persistence._rebuild import rebuild
from featx.persistence._record import MODEL, RECORD, write_record
from featx.persistence._skops import dump

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def save(model: BaseEstimator, folder: str | Path) -> None:
    """Save a model as a folder that loads on another machine, with its encoders' weights.

    The model is not changed. In the folder ``cache=`` of a folder or a store is True, ``device=`` of a GPU
    ``"auto"``, ``memory=`` None. A network that only its author's code can build (`Encoder.from_module`,
    `Encoder.from_factory`, timm's) is kept as an OpenVINO graph, which runs on the CPU. Embeddings are not in it.

    Parameters
    ----------
    model : estimator
        Of scikit-learn, fitted or not: a Pipeline, a search, an `ImageEncoder` alone. A fitted `FineTuneClassifier` is
        saved as what its ``to_pipeline()`` gives.
    folder : str or Path
        Is made, in a folder that exists; a model that was saved there is replaced.

    Raises
    ------
    ModelError
        If the folder cannot be that, or holds something else; or if a part of the model cannot be saved, such as a
        lambda, or ``layers=`` of an encoder that becomes a graph.
    ParameterError
        If it is no estimator, or a parameter of an encoder is not accepted.
    WeightsError
        If weights are missing, or not those that the encoder was made with.
    ConversionError
        If OpenVINO cannot take a network.

    See Also
    --------
    load : The way back.

    Notes
    -----
    What a grid names by a str (another encoder, a path of weights or of a cache) stays that str: its weights are not
    kept, and the search cannot be repeated where they are not.

    Examples
    --------
    >>> import featx, tempfile
    >>> folder = tempfile.mkdtemp() + "/model"
    >>> featx.save(featx.image_pipeline("logistic"), folder)
    >>> list(featx.load(folder).named_steps)
    ['encoder', 'scaler', 'head']
    """
    if isinstance(model, type) or not hasattr(model, "get_params"):
        raise ParameterError(f"Got model={model!r}. Expected a scikit-learn estimator (an instance).")
    with atomic_folder(Path(folder).expanduser().resolve(), marker=RECORD, error=ModelError) as new:
        try:
            model = model.to_pipeline() if hasattr(model, "to_pipeline") else model
            packer = Packer(model, new)
            packed = rebuild(model, packer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ModelError(f"{type(model).__name__} cannot be saved: {error}") from error
        dump(packed, new / MODEL)
        write_record(new, encoders=packer.encoders, notes=packer.notes)
