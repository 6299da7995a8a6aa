"""``featx export``: a model's folder -> a bundle."""

from __future__ import annotations

import argparse
from typing import Any

from featx.cli._command import add_command, add_json, note, print_json
from featx.cli._files import find_files, images_of_model, open_columns

_EXAMPLES = """
featx export model/ bundle/
featx export model/ bundle/ --sample photos/
featx export model/ bundle/ --sample goods.csv --root photos/
featx export model/ bundle/ --sample photos/ --quantize int8
featx export model/ bundle/ --sample photos/ --tolerance 0.01
featx export model/ bundle/ --with docker web
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "export",
        run,
        help="make a bundle of a model: it predicts without torch and without featx",
        description="Write a model as a bundle: a folder that needs numpy, Pillow, simplejpeg and ONNX Runtime alone. "
        "Its\npredictions on the sample are compared with the model's, and it is not written if they differ.",
        examples=_EXAMPLES,
    )
    add_ = command.add_argument
    add_("model", metavar="MODEL", help="the folder of a model, as featx train writes it")
    add_("bundle", metavar="BUNDLE", help="the folder to write; an older bundle is replaced")
    add_(
        "--sample",
        nargs="+",
        metavar="FOLDER|FILE",
        help="images to compare the two on, or a table (.csv, .parquet) for a model of one; default: built-in ones",
    )
    add_("--root", metavar="DIR", help="below which a table's paths lie; default: the folder of the table")
    add_("--head", default="auto", metavar="NAME", help="auto, onnx or sklearn; default: %(default)s")
    add_("--quantize", metavar="KIND", help="int8 or float16: a smaller and less exact encoder; needs --sample")
    add_(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the sample's rows whose label or scores may differ, not counting those on a tree's threshold; "
        "default: %(default)s",
    )
    add_(
        "--with",
        dest="extras",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what to write beside it: docker, systemd, kubernetes, web (a page that answers in the browser)",
    )
    add_json(command)


def run(parsed: argparse.Namespace) -> None:
    import featx
    from featx.persistence import read_scores

    model = featx.load(parsed.model)
    sample = _sample(parsed.sample, model, parsed.root) if parsed.sample else None
    bundle = featx.export_bundle(
        model,
        parsed.bundle,
        sample=sample,
        head=parsed.head,
        quantize=parsed.quantize,
        tolerance=parsed.tolerance,
        scores=read_scores(parsed.model),
        extras=parsed.extras,
    )
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    verified = bundle.manifest["verified"]
    if parsed.json:
        kept = ("task", "head", "quantize", "inputs", "outputs")
        print_json({"bundle": str(bundle.folder), "bytes": size, **{k: bundle.manifest[k] for k in kept}, **verified})
        return
    for name, value in verified.items():
        print(f"{name}: {value:.3g}")
    note(f"Bundle: {bundle.folder} ({size / 1e6:.1f} MB)")


def _sample(paths: list[str], model: Any, root: str | None) -> Any:
    """Return the images, or the rows of a table, to compare on."""
    from featx.exceptions import ParameterError
    from featx.images import is_table_name

    if len(paths) == 1 and is_table_name(paths[0]):
        names = images_of_model(model)
        frame, name = open_columns(paths[0], names, None, root)
        return frame if names else frame[name]
    if root is not None:
        raise ParameterError("Got --root without a table. Expected --sample with one table, a .csv for example.")
    return _readable(paths)


def _readable(paths: list[str]) -> list[str]:
    """Return the images to compare on; warn of those that cannot be read, which are left out."""
    from featx.images import check_images

    table = check_images(find_files(paths))
    if bad := int((~table["ok"]).sum()):
        note(f"featx: warning: unreadable images are left out: {bad:,}")
    return table.loc[table["ok"], "image"].tolist()
