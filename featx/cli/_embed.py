"""``featx embed``: images -> embeddings in the cache, and in a file."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx._optional import import_optional
from featx.cli._command import add_command, add_encoder, add_paths, encoder_parameters, note
from featx.cli._files import find_files, replacing, write_csv
from featx.exceptions import ParameterError, UnknownNameError, describe

if TYPE_CHECKING:
    import pandas as pd

    from featx._image_encoder import ImageEncoder

_SUFFIXES = (".parquet", ".csv", ".npy")
_EXAMPLES = """
featx embed photos/ -o embeddings.parquet
featx embed photos/ more/ extra.jpg -o embeddings.csv --encoder resnet50 --on-error nan
featx embed photos/ -o embeddings.npy --layers blocks.2,blocks.8 --pooling gem
featx embed s3://bucket/photos/ --cache /shared/embeddings --engine ray
featx embed products.parquet --image photo --cache embeddings/
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "embed",
        run,
        help="embed images: into the cache, and into a file",
        description="Embed images; those that were embedded before are found in the cache. A file has a column image, "
        "then one\ncolumn for each number of the embedding, and appears when it is complete. Without one, only the "
        "cache is filled;\nunreadable images are listed, and the exit status is 1 if there are any.",
        examples=_EXAMPLES,
    )
    add_paths(command)
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".parquet, .csv, or .npy: the float32 matrix alone, with the images' names in FILE.images.txt beside it",
    )
    command.add_argument(
        "--on-error",
        default="raise",
        metavar="raise|nan",
        help="nan: an image that is unreadable or missing is a row of NaN",
    )
    command.add_argument("--image", metavar="COLUMN", help="the column of images of a table, default: image")
    command.add_argument("--root", metavar="FOLDER", help="below which a table's paths lie; default: its folder")
    ray = command.add_argument_group("engine", "Many images: workers fill the cache, which all of them must see.")
    ray.add_argument("--engine", metavar="NAME", help="ray: the cluster that RAY_ADDRESS names, or this machine")
    ray.add_argument("--num-gpus", type=float, metavar="N", help="GPUs of each worker; default: 1 where there are any")
    ray.add_argument("--concurrency", type=int, metavar="N", help="workers; default: one a GPU, or processor")
    add_encoder(command)


def run(parsed: argparse.Namespace) -> int | None:
    if parsed.output is None:
        return _fill_cache(parsed)
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
    return None


def _encoder(parsed: argparse.Namespace) -> ImageEncoder:
    from featx._image_encoder import ImageEncoder

    return ImageEncoder(on_error=parsed.on_error, on_missing=parsed.on_error, **encoder_parameters(parsed))


def _fill_cache(parsed: argparse.Namespace) -> int:
    encoder = _encoder(parsed)
    images = _list(parsed)
    table = _precompute(images, encoder.fit(images), parsed)
    bad = table[~table["ok"]]
    for image, error in zip(bad["image"], bad["error"], strict=True):
        print(f"{image}: {error}")
    encoded = sum(row["encoded"] for row in table.attrs["encoders"])
    note(f"{len(table):,} images: {len(bad):,} bad, {encoded:,} embeddings are new in the cache")
    return int(len(bad) > 0)


def _embed(parsed: argparse.Namespace, *, one_line: bool) -> pd.DataFrame:
    import pandas as pd

    from featx.images import location_of

    encoder = _encoder(parsed)
    images = _list(parsed)
    names = [location_of(image) or describe(image) for image in images]
    if one_line and (broken := next((name for name in names if "\n" in name), None)):
        raise ParameterError(f"The name {broken!r} has a line break in it. Write to .parquet or .csv, or rename it.")
    encoder.fit(images)
    if parsed.engine is not None:
        _precompute(images, encoder, parsed)
    embeddings = encoder.transform(images)
    table = pd.DataFrame(embeddings, columns=encoder.get_feature_names_out())
    # object: pandas' str cannot hold a path that is not UTF-8
    table.insert(0, "image", pd.Series(names, dtype=object))
    return table


def _list(parsed: argparse.Namespace) -> list[Any]:
    from featx.images import is_table_name, list_any

    path = parsed.paths[0]
    if len(parsed.paths) == 1 and ("://" in path or is_table_name(path)):
        return list(list_any(path, image=parsed.image, root=parsed.root))
    for name in ("image", "root"):
        if getattr(parsed, name) is not None:
            raise ParameterError(f"Got --{name} without a table. Expected one file: .parquet, .csv or .tar.")
    return find_files(parsed.paths)


def _precompute(images: list[Any], encoder: ImageEncoder, parsed: argparse.Namespace) -> pd.DataFrame:
    from featx._precompute import precompute

    with redirect_stdout(sys.stderr):  # Ray prints what befalls its workers
        return precompute(
            images,
            encoder,
            encoder.layers,
            pooling=encoder.pooling or "avg",
            cache=encoder.cache,
            engine=parsed.engine,
            num_gpus=parsed.num_gpus,
            concurrency=parsed.concurrency,
        )


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
