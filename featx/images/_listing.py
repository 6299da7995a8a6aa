"""Whatever names images (a folder, part of an object store, a table, a container) -> a container of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.exceptions import ParameterError, UnknownNameError
from featx.images._accept import column_names
from featx.images._columns import library_of
from featx.images._files import find_images, warn_left_out
from featx.images._image_table import is_table_name, open_table
from featx.images._remote import list_remote


def list_any(images: Any, *, image: str | None = None, root: str | Path | None = None) -> Any:
    """List the images that a name stands for.

    Parameters
    ----------
    images : str, Path or container of images
        A folder, with those below it; the URL of one in an object store; a table of images, as `read_image_table` reads
        it. A container is returned as it is, of a frame the column.
    image : str, default=None
        The column of images of a table, None is ``"image"``, or of a frame.
    root : str or Path, default=None
        Below which a table's relative paths lie; None is its folder.

    Returns
    -------
    container of images

    Raises
    ------
    InputError
        If there are none, or a file cannot be read.
    UnknownNameError
        If there is no such column.
    ParameterError
        If a column is named of what has none.

    Warns
    -----
    ImageWarning
        If files that look like images are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from featx.images import list_any
    >>> list_any(pd.DataFrame({"photo": ["a.jpg"], "price": [3]}), image="photo").tolist()
    ['a.jpg']
    """
    if isinstance(images, str | Path) and is_table_name(images):
        frame, name = open_table(images, image, root=root)
        return frame[name]
    if image is not None and library_of(images) and len(getattr(images, "shape", ())) == 2:
        names = list(map(str, column_names(images)))
        if image not in names:
            raise UnknownNameError("column", image, names)
        return images[image]
    if image is not None:
        raise ParameterError(f"Got image={image!r} with images that have no columns. Leave it out, or pass a table.")
    if not isinstance(images, str | Path):
        return images
    if "://" in str(images) and not str(images).startswith("file://"):
        return list_remote(str(images))
    found, left_out = find_images([images])
    warn_left_out(left_out)
    return found
