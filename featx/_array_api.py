"""Tensors inside scikit-learn's array API dispatch, which featx's estimators refuse by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import get_config

from featx.exceptions import InputError


def refuse_tensors(**arrays: Any) -> None:
    """Refuse arrays of torch and of other libraries inside array API dispatch.

    scikit-learn leaves them as they are there. Beside numpy's arrays they make estimators fail with obscure errors,
    and scorers give NaN with a warning only, so that a grid search takes its first candidate.

    Parameters
    ----------
    **arrays
        What to look at, by name.

    Raises
    ------
    InputError
        The message says what to pass instead.

    Examples
    --------
    >>> import numpy as np
    >>> from featx._array_api import refuse_tensors
    >>> refuse_tensors(X=np.ones((2, 3)), y=["a", "b"])
    """
    if not get_config()["array_api_dispatch"]:
        return
    for name, array in arrays.items():
        # pyarrow's arrays speak DLPack too, and have no device.
        if isinstance(array, np.ndarray) or not (hasattr(array, "__dlpack__") and hasattr(array, "device")):
            continue
        raise InputError(
            f"Got {name} as {type(array).__module__}.{type(array).__qualname__} inside array API dispatch. Expected "
            f"what numpy reads, since featx's estimators compute in numpy: {name}.cpu().numpy() of a torch tensor. To "
            "train scikit-learn's own estimators on a GPU, put embeddings and labels there before them."
        )
