"""What featx raises and warns, in one tree.

::

    Exception
    └── FeatxError                      everything below; catch this one
        ├── ParameterError              (ValueError) a value that is not one of the accepted ones
        │   └── UnknownNameError        (KeyError) no such encoder, weights, layer ...; close matches named
        ├── InputError                  (TypeError, ValueError) a container of images or texts that is not accepted
        ├── ImageReadError              (ValueError) some images cannot be used; ``.table`` lists them
        ├── WeightsError                (ValueError) weights that are missing, damaged or do not fit
        ├── DeviceError                 (RuntimeError) a device that this machine lacks, or a precision the device lacks
        ├── ConversionError             (RuntimeError) a network that a runtime cannot take
        ├── NonFiniteEmbeddingError     (ArithmeticError) a network that gives NaN or infinite numbers
        ├── TrainingError               (ArithmeticError) training that diverged, or ran out of memory or disk
        ├── StoreError                  (OSError) a store folder that cannot be used
        ├── ExportError                 (ValueError) a pipeline that cannot leave as a bundle, or whose bundle disagrees
        ├── BundleError                 (ValueError) a bundle that is damaged, or of a format that is not known
        ├── ModelError                  (ValueError) a model that cannot be saved, a model folder that cannot be loaded
        ├── OutputError                 (OSError) answers that can no longer be written; those so far are kept
        └── MissingDependencyError      (ImportError) an optional package; the message names the extra

    UserWarning
    └── FeatxWarning
        ├── ImageWarning                images that became NaN rows, copies on both sides of a fold
        ├── FallbackWarning             a slower way was taken: another runtime, smaller batches
        └── StoreWarning                a cache that could not be written, a segment that is damaged
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Of a row, or of one of its images.
Position = int | tuple[int, int]
_SHOWN_ROWS = 5
_SHOWN_MEMBERS = 3
_SHOWN_CHARACTERS = 300


class FeatxError(Exception):
    """Root of all errors that featx raises on purpose."""


class ParameterError(FeatxError, ValueError):
    """A parameter has a value that is not accepted."""


class UnknownNameError(ParameterError, KeyError):
    """A name that is not registered.

    Parameters
    ----------
    kind : str
        What the name stands for, e.g. ``"encoder"``.
    got : object
        The unknown name.
    known : iterable of str
        The names that exist; the closest are quoted.
    hint : str, default=""
        One more sentence: where to look.
    """

    def __init__(self, kind: str, got: object, known: Iterable[str], hint: str = ""):
        known = list(known)
        close = difflib.get_close_matches(str(got), known, n=3, cutoff=0.5)
        if close:
            advice = "Did you mean " + " or ".join(map(repr, close)) + "?"
        else:
            shown = ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")
            advice = f"Expected one of {shown}."
        self.message = f"Unknown {kind} {got!r}. {advice}{' ' + hint if hint else ''}"
        super().__init__(self.message)

    def __reduce__(self):
        return _restore, (type(self), self.message)

    def __str__(self) -> str:  # KeyError would show the repr
        return self.message


class InputError(FeatxError, TypeError, ValueError):
    """The container of images, or of texts, is not accepted, or a row of texts is missing."""


class WeightsError(FeatxError, ValueError):
    """Weights that are missing, damaged, or that do not fit the network."""


class DeviceError(FeatxError, RuntimeError):
    """A device that this machine does not have, or a precision that the device does not run."""


class ConversionError(FeatxError, RuntimeError):
    """A network that cannot be converted for a runtime, or that gives other numbers there."""


class NonFiniteEmbeddingError(FeatxError, ArithmeticError):
    """A network gives NaN or infinite numbers; no policy for unreadable images covers it, and nothing of it is stored.

    Parameters
    ----------
    encoder : str
        The name of the encoder.
    precision : str
        What it computed in.
    rows : sequence of (position, index label, source, reason)
        The rows in question, in order.
    n_rows : int
        How many rows were given.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns position, index, source, reason; a row for each such image, of those seen.

    Examples
    --------
    >>> from featx import NonFiniteEmbeddingError
    >>> error = NonFiniteEmbeddingError("resnet50", "float16", [(7, "h", "h.jpg", "NaN")], n_rows=9)
    >>> error.table["index"].tolist()
    ['h']
    """

    def __init__(self, encoder: str, precision: str, rows: Sequence[tuple[Position, Any, Any, str]], n_rows: int):
        self.encoder = encoder
        self.precision = precision
        self.rows = list(rows)
        self.n_rows = n_rows
        super().__init__(self._message())

    def __reduce__(self):
        return type(self), (self.encoder, self.precision, self.rows, self.n_rows)

    @property
    def table(self) -> pd.DataFrame:
        return _as_table(self.rows)

    def _message(self) -> str:
        what = "Check its weights: a training that diverged and a broken batch normalisation leave such ones."
        if self.precision != "float32":
            what = 'Use precision="float32"; if it is the same there, check its weights.'
        return "\n".join(
            [
                f"The encoder {self.encoder!r} gives NaN or infinite numbers for {len(self.rows):,} of {self.n_rows:,} "
                f"rows, in {self.precision}; nothing of them is stored.",
                *list_rows(self.rows),
                what,
            ]
        )


class TrainingError(FeatxError, ArithmeticError):
    """Training diverged (non-finite loss), or ran out of memory or disk space."""


class StoreError(FeatxError, OSError):
    """A store folder that cannot be used."""


class ExportError(FeatxError, ValueError):
    """A pipeline that cannot leave as a bundle, or whose bundle gives other answers."""


class BundleError(FeatxError, ValueError):
    """A bundle that is damaged, incomplete, or of a format that is not known."""


class ModelError(FeatxError, ValueError):
    """A model that cannot be saved, or a model's folder that cannot be loaded."""


class OutputError(FeatxError, OSError):
    """A file of answers that can no longer be written, as on a full disk; what was written is kept."""


class MissingDependencyError(FeatxError, ImportError):
    """An optional package that is not installed."""


class ImageReadError(FeatxError, ValueError):
    """Some images cannot be used.

    Parameters
    ----------
    rows : sequence of (position, index label, source, reason)
        The bad rows, in order. A position is a row, or a row and which of its images it is.
    n_images : int
        How many images were given.
    n_stored : int or None
        How many embeddings are in the store, None where there is none.
    stopped_after : int or None, default=None
        Rows seen when the run was given up, because bad rows were plainly the rule.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns position, index, source, reason; a row for each bad image. Where rows hold several images, the column
        image counts those of a row, from 0; it is missing for a row that holds none.

    Examples
    --------
    >>> from featx import ImageReadError
    >>> error = ImageReadError([(1, "b", "b.jpg", "no such file")], n_images=2, n_stored=1)
    >>> error.table["index"].tolist()
    ['b']
    """

    def __init__(
        self,
        rows: Sequence[tuple[Position, Any, Any, str]],
        n_images: int,
        n_stored: int | None,
        stopped_after: int | None = None,
    ):
        self.rows = list(rows)
        self.n_images = n_images
        self.n_stored = n_stored
        self.stopped_after = stopped_after
        super().__init__(self._message())

    def __reduce__(self):
        return type(self), (self.rows, self.n_images, self.n_stored, self.stopped_after)

    @property
    def table(self) -> pd.DataFrame:
        return _as_table(self.rows)

    def _message(self) -> str:
        n_bad = len(self.rows)
        if self.stopped_after is not None:
            return self._stopped_message(n_bad)
        stored = "" if self.n_stored is None else f"; {self.n_stored:,} embeddings stored"
        lines = [f"{n_bad:,} of {self.n_images:,} images unreadable{stored}."]
        lines += list_rows(self.rows)
        lines.append('Continue with on_error="nan" (on_missing="nan" for missing ones), or drop err.table["index"].')
        return "\n".join(lines)

    def _stopped_message(self, n_bad: int) -> str:
        position, _, source, reason = self.rows[0]
        example = f"{title(position)}: {reason}"
        if isinstance(source, str | Path) and not str(source).startswith("data:"):
            example += f" ({Path(source).absolute()})"
        return (
            f"Stopped after {self.stopped_after:,} of {self.n_images:,} images: {n_bad:,} of them are unreadable, "
            f"so the input as a whole looks wrong (another root folder?). For example {example}.\n"
            "Mend the paths. If so many bad images are expected, drop them (featx.check_images lists them all); "
            'on_error="nan" goes on where they are fewer than half.'
        )


class FeatxWarning(UserWarning):
    """Root of all warnings that featx issues."""


class ImageWarning(FeatxWarning):
    """Images that became NaN rows, or copies of which some train a head and others test it."""


class FallbackWarning(FeatxWarning):
    """A slower way was taken: torch instead of OpenVINO, smaller batches on a full GPU."""


class StoreWarning(FeatxWarning):
    """A cache that could not be written or a segment that is damaged; results are right all the same."""


def are_the_rule(n_bad: int, n_seen: int) -> bool:
    """Whether so many rows are unreadable that ``on_error="nan"`` must not go on: the input as a whole is wrong.

    That is more than half of 20 rows or more, or all of 5 or more; fewer rows, such as one to predict, prove nothing.
    """
    most, few = 20, 5
    return 2 * n_bad > n_seen if n_seen >= most else n_bad == n_seen >= few


def list_rows(rows: Sequence[tuple[Position, Any, Any, str]]) -> list[str]:
    """Format the first bad rows as indented lines, ``row 31: 'a.jpg': reason``."""
    lines = [f"  {title(position)}: {describe(source)}: {reason}" for position, _, source, reason in rows[:_SHOWN_ROWS]]
    if len(rows) > _SHOWN_ROWS:
        lines.append(f"  ... and {len(rows) - _SHOWN_ROWS:,} more")
    return lines


def title(position: Position) -> str:
    """Name a row, or one of its images.

    Examples
    --------
    >>> from featx.exceptions import title
    >>> title(31), title((31, 2))
    ('row 31', 'row 31, image 2')
    """
    return f"row {position[0]}, image {position[1]}" if isinstance(position, tuple) else f"row {position}"


def describe(source: Any) -> str:
    """Name an image source in a few words, never its content."""
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source):,} bytes>"
    if isinstance(source, Mapping) and {"bytes", "path", "data"} & set(source):
        return f"<dict of {', '.join(map(str, source))}>"[:_SHOWN_CHARACTERS]
    if isinstance(source, list | tuple):
        members = [*map(describe, source[:_SHOWN_MEMBERS]), *["..."] * (len(source) > _SHOWN_MEMBERS)]
        return f"[{', '.join(members)}]"[:_SHOWN_CHARACTERS]
    if getattr(source, "shape", ()) and hasattr(source, "dtype"):
        return f"<array {source.shape} {source.dtype}>"
    if hasattr(source, "mode") and hasattr(source, "size"):
        return f"<PIL image {source.size} {source.mode}>"
    text = repr(str(source)[:_SHOWN_CHARACTERS] if isinstance(source, str | Path) else source)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _as_table(rows: Sequence[tuple[Position, Any, Any, str]]) -> pd.DataFrame:
    import pandas as pd

    # object: pandas' str cannot hold a path that is not UTF-8
    table = pd.DataFrame(rows, columns=["position", "index", "source", "reason"], dtype=object)
    if any(isinstance(position, tuple) for position in table["position"]):
        places = [position if isinstance(position, tuple) else (position, None) for position in table["position"]]
        table["position"] = [row for row, _ in places]
        table.insert(1, "image", pd.array([image for _, image in places], dtype="Int64"))
    return table.astype({"position": "int64"})


def _restore(cls: type[UnknownNameError], message: str) -> UnknownNameError:
    error = cls.__new__(cls, message)
    error.message = message
    return error


# The name until 0.1; it goes with 0.2.
ImageErrors = ImageReadError
