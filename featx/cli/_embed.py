"""``featx embed``: images -> a file of embeddings."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from featx._optional import import_optional
from featx.cli._command import add_command, add_encoder, add_paths, encoder_parameters, note
from featx.cli._files import find_files, replacing, write_csv
from featx.exceptions import ParameterError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".parquet", ".csv", ".npy")
_EXAMPLES = """
featx embed photos/ -o embeddings.parquet
featx embed photos/ more/ extra.jpg -o embeddings.csv --encoder resnet50 --on-error nan
featx embed photos/ -o embeddings.npy --layers blocks.2,blocks.8 --pooling gem
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "embed",
        run,
        help="write the embeddings of images to a file",
        description="Embed images: a column image, then one column for each number of the embedding. "
        "Images that were embedded\nbefore are found in the cache. The file appears when it is complete.",
        examples=_EXAMPLES,
    )
    add_paths(command)
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=".parquet, .csv, or .npy: the float32 matrix alone, with the images' names in FILE.images.txt beside it",
    )
    command.add_argument(
        "--on-error", default="raise", metavar="raise|nan", help="nan: an unreadable image is a row of NaN"
    )
    add_encoder(command)


def run(parsed: argparse.Namespace) -> None:
    output = Path(parsed.output)
    if output.suffix not in _SUFFIXES:
        raise UnknownNameError("suffix of a file of embeddings", output.suffix, _SUFFIXES)
    if output.suffix == ".parquet":
        import_optional("pyarrow", extra="cli", purpose="Writing .parquet")
    names = output.with_name(f"{output.name}.images.txt")
    with ExitStack() as stack:
        targets = [stack.enter_context(replacing(output))]
        if output.suffix == ".npy":
            targets.append(stack.enter_context(replacing(names)))
        table = _embed(parsed, one_line=len(targets) == 2)
        _write(table, *targets)
    note(f"{len(table):,} images, {table.shape[1] - 1:,} numbers each: {output}")
    if len(targets) == 2:
        note(f"The images' names, one line per row: {names}")


def _embed(parsed: argparse.Namespace, *, one_line: bool) -> pd.DataFrame:
    import pandas as pd

    from featx._image_encoder import ImageEncoder

    encoder = ImageEncoder(on_error=parsed.on_error, **encoder_parameters(parsed))
    images = find_files(parsed.paths)
    if one_line and (broken := next((image for image in images if "\n" in image), None)):
        raise ParameterError(f"The name {broken!r} has a line break in it. Write to .parquet or .csv, or rename it.")
    embeddings = encoder.fit(images).transform(images)
    table = pd.DataFrame(embeddings, columns=encoder.get_feature_names_out())
    # object: pandas' str cannot hold a path that is not UTF-8
    table.insert(0, "image", pd.Series(images, dtype=object))
    return table


def _write(table: pd.DataFrame, file: Path, names: Path | None = None) -> None:
    import numpy as np

    if names is not None:
        np.save(file, table.iloc[:, 1:].to_numpy("float32"))
        names.write_text("".join(f"{name}\n" for name in table["image"]), "utf-8", "surrogateescape", newline="\n")
    elif file.suffix == ".csv":
        write_csv(table, file)
    else:
        # Parquet's text is UTF-8: in other names the odd bytes are spelled out.
        shown = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in table["image"]]
        table.assign(image=shown).to_parquet(file, index=False)
