"""``featx export``: a model's folder -> a bundle."""

from __future__ import annotations

import argparse

from featx.cli._command import add_command, add_json, note, print_json
from featx.cli._files import find_files

_EXAMPLES = """
featx export model/ bundle/
featx export model/ bundle/ --sample photos/
featx export model/ bundle/ --sample photos/ --quantize int8
featx export model/ bundle/ --sample photos/ --tolerance 0.01
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
    add_("--sample", nargs="+", metavar="FOLDER|FILE", help="images to compare the two on; default: built-in ones")
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
    add_json(command)


def run(parsed: argparse.Namespace) -> None:
    import featx

    sample = _readable(parsed.sample) if parsed.sample else None
    model = featx.load(parsed.model)
    bundle = featx.export_bundle(
        model,
        parsed.bundle,
        sample=sample,
        head=parsed.head,
        quantize=parsed.quantize,
        tolerance=parsed.tolerance,
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


def _readable(paths: list[str]) -> list[str]:
    """Return the images to compare on; warn of those that cannot be read, which are left out."""
    from featx.images import check_images

    table = check_images(find_files(paths))
    if bad := int((~table["ok"]).sum()):
        note(f"featx: warning: unreadable images are left out: {bad:,}")
    return table.loc[table["ok"], "image"].tolist()
