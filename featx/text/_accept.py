"""The containers of texts that are accepted -> a list of texts, and the digest of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from featx.exceptions import InputError, describe
from featx.images import DIGEST_BYTES, ImageColumn, as_column, is_missing

_TAG = b"featx:text:1\0"
_EXPECTED = "Expected a list, tuple, numpy array, pandas or polars Series, or a frame of one column, of str"


def as_texts(texts: object) -> ImageColumn:
    """Read any accepted container of texts.

    Parameters
    ----------
    texts : list, tuple, ndarray, pandas or polars Series, or one-column frame
        Of str; None, NaN or "" where a text is missing.

    Returns
    -------
    ImageColumn

    Raises
    ------
    InputError
        If the container is none of these, or a row holds anything else.

    Examples
    --------
    >>> from featx.text._accept import as_texts
    >>> len(as_texts(["a red shirt", None]))
    2
    """
    if isinstance(texts, str):
        raise InputError(f"Got a single str. {_EXPECTED}. One text? Pass it in a list: [text].")
    try:
        column = as_column(texts)
    except InputError as error:  # what it got is well said there, what it expected is not
        raise InputError(f"{str(error).partition('. ')[0]}. {_EXPECTED}.") from None
    for i, text in enumerate(column.sources):
        if not isinstance(text, str) and not is_missing(text):
            raise InputError(
                f"Got {describe(text)} ({type(text).__name__}) in row {i}. {_EXPECTED}; None, NaN or '' where it is "
                "missing."
            )
    return column


def digest_texts(texts: Sequence[str]) -> np.ndarray:
    """Digests of texts, (n, 16) uint8: equal where, and only where, the texts are, character by character.

    Raises
    ------
    InputError
        If a text has half a character (a lone surrogate), which no tokenizer takes.
    """
    return np.frombuffer(b"".join(map(_digest, texts)), np.uint8).reshape(-1, DIGEST_BYTES)


def _digest(text: str) -> bytes:
    try:
        return hashlib.sha256(_TAG + text.encode()).digest()[:DIGEST_BYTES]
    except UnicodeEncodeError as error:
        raise InputError(
            f"Got {describe(text)}, whose character {error.start} is half a character (a lone surrogate). Expected "
            "Unicode; mend it with text.encode(errors='replace').decode()."
        ) from None
